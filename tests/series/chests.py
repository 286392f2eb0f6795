"""A series of chests that move by known affines, on oblique anisotropic grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bundle.io import write_image
from tests.chest import Chest, render
from tests.grids import make_affine, rotation

SHAPE = (44, 40, 38)
COARSE = {"refine": "none", "spacing_mm": 8.0, "network_spacing_mm": 8.0}
LIFTS_MM = (0.0, 6.0, 12.0, 5.0)  # of the cycle


def motion(lift_mm: float) -> Tensor:
    """Chest to member: lifted, and as much shorter."""
    affine = rotation(0.1 * lift_mm, 0, 0)
    affine[2, 2] *= 1 - lift_mm / 150
    affine[:3, 3] = torch.tensor([0.0, 0.1 * lift_mm, lift_mm])
    return affine


def grid_of(number: int) -> Tensor:
    flip = (-1, -1, 1) if number % 2 else (1, 1, 1)
    return make_affine(SHAPE, (5.0, 4.5, 5.5), angles_deg=(3, 2 * number, -4), flip=flip, centre_mm=(0.0, 0.0, 3.0))


def write_chest(path: Path, number: int, *, seed: int = 0) -> Path:
    """A member of the series."""
    to_chest = torch.linalg.inv(motion(LIFTS_MM[number]))
    scan = render(Chest(seed=seed), SHAPE, grid_of(number), to_chest=to_chest)
    write_image(path, scan[0].as_tensor(), scan.affine, dtype=np.int16)
    return path


def write_water(path: Path) -> Path:
    """A scan without lungs."""
    voxels = np.random.default_rng(0).normal(0, 10, SHAPE)
    write_image(path, voxels, grid_of(0), dtype=np.int16)
    return path
