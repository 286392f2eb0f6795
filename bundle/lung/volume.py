"""Volume of a mask."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from torch import Tensor


def voxel_ml(affine: Tensor) -> float:
    """Volume of a voxel of the grid of `affine` (4, 4), mm, in ml."""
    return float(torch.linalg.det(torch.as_tensor(affine)[:3, :3].double()).abs()) / 1000


def volume_ml(mask: MetaTensor) -> float:
    """Volume of what is not 0 in a mask or label map (1, H, W, D), ml."""
    return int(mask.as_tensor().count_nonzero()) * voxel_ml(mask.affine)
