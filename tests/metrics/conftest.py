"""Grids that detect swapped axes, spacings or signs."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor


@pytest.fixture
def oblique_affine() -> Tensor:
    """A rotated grid of 0.625 x 0.7 x 2.5 mm with one axis reversed, away from the origin."""
    affine = torch.eye(4, dtype=torch.float64)
    rotation = torch.from_numpy(Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix())
    affine[:3, :3] = rotation @ torch.diag(torch.tensor([-0.625, 0.7, 2.5], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([31.0, -12.0, 205.0])
    return affine
