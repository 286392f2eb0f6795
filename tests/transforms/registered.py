"""A registered pair whose scans share no grid."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from tests.grids import make_affine, rotation, voxel_centres_mm, waves_vox

NETWORK_SHAPE, FIXED_SHAPE, MOVING_SHAPE = (16, 18, 20), (15, 12, 14), (18, 13, 17)


def hu(points_mm: torch.Tensor) -> torch.Tensor:
    """A moving scan that is a linear function of its world: every interpolation of it is exact."""
    return points_mm @ torch.tensor([2.0, -1.5, 1.0], dtype=torch.float64) - 500


def registered_pair() -> dict[str, Any]:
    """A registered pair: 60 mm apart, each with its own oblique grid inside the network grid."""
    grid_to_fixed = make_affine(NETWORK_SHAPE, (6.0, 5.5, 5.0), angles_deg=(10, 5, -8), centre_mm=(20, -30, -200))
    initial = rotation(2, 4, -3)
    initial[:3, 3] = torch.tensor([-8.0, 5.0, 60.0])
    moving_centre = apply_affine(initial, torch.tensor([[20.0, -30.0, -200.0]], dtype=torch.float64))[0].tolist()
    fixed = make_affine(
        FIXED_SHAPE, (4.0, 5.0, 4.5), angles_deg=(-20, 10, 0), flip=(-1, -1, 1), centre_mm=(20, -30, -200)
    )
    moving = make_affine(MOVING_SHAPE, (5.0, 6.0, 5.0), angles_deg=(0, -10, 30), centre_mm=tuple(moving_centre))
    scan = hu(voxel_centres_mm(MOVING_SHAPE, moving)).reshape(1, *MOVING_SHAPE).float()
    return {
        "pred": MetaTensor(waves_vox(NETWORK_SHAPE, amplitude_vox=1.2, periods=0.5)[0]),
        "image": torch.rand(2, *NETWORK_SHAPE, generator=torch.Generator().manual_seed(0)),
        "grid_to_fixed": grid_to_fixed,
        "grid_to_moving": initial @ grid_to_fixed,
        "fixed": MetaTensor(torch.zeros(1, *FIXED_SHAPE), affine=fixed),
        "moving": MetaTensor(scan, affine=moving),
        "fixed_landmarks": apply_affine(fixed, torch.tensor([[3.2, 4.0, 5.0], [10.0, 8.0, 9.9]], dtype=torch.float64)),
    }
