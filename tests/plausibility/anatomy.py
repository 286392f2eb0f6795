"""What the analytic chest lacks: a diaphragm that arches into both lungs, and a heart on the left."""

from __future__ import annotations

import torch
from monai.data import MetaTensor

from tests.chest import LUNGS, TISSUE_HU, Chest, lungs_of, render
from tests.grids import make_affine, voxel_centres_mm

HEART_MM, HEART_RADIUS_MM = (-14.0, 40.0, -20.0), 50.0
DOME_MM = (-80.0, 60.0)  # height of its rim and of its top above it


def anatomical(chest: Chest | None = None, shape: tuple[int, int, int] = (56, 52, 48)) -> tuple[MetaTensor, MetaTensor]:
    """Scan and lungs (1, H, W, D) on an oblique grid."""
    chest = Chest() if chest is None else chest
    scan = render(chest, shape, make_affine(shape, (4.0, 3.6, 4.5), angles_deg=(5, -4, 8)))
    lungs = lungs_of(chest, scan)
    points_mm = voxel_centres_mm(shape, scan.affine)
    tissue = (points_mm - torch.tensor(HEART_MM, dtype=torch.float64)).norm(dim=1) < HEART_RADIUS_MM
    for centre, radii in LUNGS.values():
        outward = sum(((points_mm[:, axis] - centre[axis]) / radii[axis]) ** 2 for axis in (0, 1))
        tissue |= (outward < 1) & (points_mm[:, 2] < DOME_MM[0] + DOME_MM[1] * (1 - outward))
    inside = tissue.reshape(1, *shape) & (lungs.as_tensor() > 0)
    return (
        MetaTensor(scan.as_tensor().masked_fill(inside, TISSUE_HU), affine=scan.affine),
        MetaTensor(lungs.as_tensor().masked_fill(inside, 0), affine=lungs.affine),
    )


def turned(volume: MetaTensor, axes: tuple[int, int, int], flips: tuple[int, ...] = ()) -> MetaTensor:
    """Voxels with exchanged, then flipped axes (0, 1, 2); the header is unchanged."""
    voxels = volume.as_tensor().permute(0, *(axis + 1 for axis in axes)).flip([axis + 1 for axis in flips])
    return MetaTensor(voxels.contiguous(), affine=volume.affine)
