"""Breaths with exact answers: two lungs of a linear density that are stretched by a linear map, mass conserved."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.function import Breath, make_breath
from bundle.geometry import WorldTransform, apply_affine
from bundle.io import ImageHeader
from tests.grids import make_affine, voxel_centres_mm
from tests.result_folders import field_of

FIXED = (30, 26, 22)
FIXED_GRID = make_affine(FIXED, (3.0, 2.5, 4.0), angles_deg=(12, -8, 25), flip=(-1, 1, -1))
MOVING = (34, 44, 40)
MOVING_GRID = make_affine(MOVING, (3.5, 2.8, 3.1), angles_deg=(-5, 10, 0), flip=(1, -1, 1), centre_mm=(5.0, -3.0, 10.0))
SHIFT_MM = torch.tensor([5.0, -3.0, 10.0], dtype=torch.float64)
UNIFORM = torch.eye(3, dtype=torch.float64) * 0.9
SHEAR = torch.tensor([[0.95, 0.1, 0.0], [0.0, 0.85, 0.08], [0.05, 0.0, 0.9]], dtype=torch.float64)
DENSITY, SLOPE = 300.0, (0.8, -1.2, 0.6)  # g/l in the middle, and per mm


class Scans(NamedTuple):
    """A pair of scans and its truth.

    Args:
        fixed, moving: HU.
        mask, moving_mask: lungs.
        lungs: 1 right, 2 left, on the fixed grid.
        matrix: (3, 3), fixed to moving vectors.
        transform: the same as a field, with the shift.
    """

    fixed: MetaTensor
    moving: MetaTensor
    mask: MetaTensor
    moving_mask: MetaTensor
    lungs: MetaTensor
    matrix: Tensor
    transform: WorldTransform

    def breath(self, exhale: str = "moving") -> Breath:
        return make_breath(self.fixed, self.moving, self.mask, self.transform, exhale)  # type: ignore[arg-type]


def make_scans(matrix: Tensor = SHEAR, *, mass: float = 1.0) -> Scans:
    """Scans of a linear map.

    Args:
        matrix: (3, 3), fixed to moving vectors.
        mass: of the moving lungs relative to the fixed ones.
    """
    fixed_mm, moving_mm = voxel_centres_mm(FIXED, FIXED_GRID), voxel_centres_mm(MOVING, MOVING_GRID)
    back_mm = (moving_mm - SHIFT_MM) @ torch.linalg.inv(matrix).T
    volume = float(torch.linalg.det(matrix))
    sides = [_side(points).to(torch.uint8) for points in (fixed_mm, back_mm)]
    scans = [density_at(fixed_mm) - 1000, density_at(back_mm) * mass / volume - 1000]
    grids = [(FIXED, FIXED_GRID), (MOVING, MOVING_GRID)]
    fixed, moving = (
        MetaTensor(hu.float().view(1, *shape), affine=grid) for hu, (shape, grid) in zip(scans, grids, strict=True)
    )
    lungs, moving_lungs = (
        MetaTensor(side.view(1, *shape), affine=grid) for side, (shape, grid) in zip(sides, grids, strict=True)
    )
    to_moving = torch.eye(4, dtype=torch.float64)
    to_moving[:3, :3], to_moving[:3, 3] = matrix, SHIFT_MM
    field = field_of(lambda points: apply_affine(to_moving, points), ImageHeader.of(fixed), 5.0)
    return Scans(
        fixed=fixed,
        moving=moving,
        mask=MetaTensor((lungs > 0).to(torch.uint8), affine=FIXED_GRID),
        moving_mask=MetaTensor((moving_lungs > 0).to(torch.uint8), affine=MOVING_GRID),
        lungs=lungs,
        matrix=matrix,
        transform=WorldTransform(field["pred"][None], field["grid_to_fixed"], field["grid_to_moving"]),
    )


def density_at(points_mm: Tensor) -> Tensor:
    """Density of the fixed lungs (n,), g/l, at (n, 3), RAS mm."""
    return DENSITY + points_mm @ torch.tensor(SLOPE, dtype=torch.float64)


def _side(points_mm: Tensor) -> Tensor:
    """Two ellipsoids side by side: 1 and 2, the first one on the patient's right."""
    centres = torch.tensor([[17.0, 0.0, 0.0], [-17.0, 2.0, 1.0]], dtype=torch.float64)
    radii = torch.tensor([13.0, 18.0, 24.0], dtype=torch.float64)
    inside = [(((points_mm - centre) / radii) ** 2).sum(dim=1) < 1 for centre in centres]
    return inside[0].long() + 2 * inside[1].long()
