"""Scans read on other grids: trilinear inside, a fill value where the scan has no voxel."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.geometry import affine_columns, sample_rows, slabs, slabs_of_points


def resample(volume: Tensor, points_vox: Tensor, fill: float) -> Tensor:
    """Read `volume` (C, H, W, D) at `points_vox` (3, h, w, d), trilinear; `fill` outside the scan.

    A point is inside up to half a voxel beyond the outermost centres, where the border value holds: ITK's rule.
    """
    sampled = volume.new_empty((volume.shape[0], *points_vox.shape[1:]))
    for start, stop in slabs(points_vox.shape[1:]):
        sampled[:, start:stop] = _resample_slab(volume, points_vox[:, start:stop], fill)
    return sampled


def resample_displaced(
    volume: Tensor, volume_affine: Tensor, displacement_mm: Tensor, affine: Tensor, fill: float
) -> Tensor:
    """Read `volume` (C, H, W, D) at x + u(x) for every voxel x of another grid; `fill` outside, as in `resample`.

    Args:
        volume_affine: (4, 4), voxels of `volume` to RAS mm.
        displacement_mm: u (3, h, w, d), RAS mm, on the grid of `affine` (4, 4).
    """
    to_volume = torch.linalg.inv(volume_affine.double())
    onto, vectors = to_volume @ affine.double(), to_volume.clone()
    vectors[:3, 3] = 0.0  # a displacement turns with the axes and does not move with the origin
    shape = displacement_mm.shape[1:]
    sampled = volume.new_empty((volume.shape[0], *shape))
    for rows, points in slabs_of_points(shape, displacement_mm):
        shift_vox = affine_columns(vectors, displacement_mm[:, rows].flatten(1))
        points_vox = shift_vox.add_(affine_columns(onto, points.flatten(1))).view_as(points)
        sampled[:, rows] = _resample_slab(volume, points_vox, fill)
    return sampled


def _resample_slab(volume: Tensor, points_vox: Tensor, fill: float) -> Tensor:
    """`resample` of one slab."""
    last = torch.tensor(volume.shape[1:], device=points_vox.device).view(3, 1, 1, 1) - 0.5
    inside = ((points_vox >= -0.5) & (points_vox < last)).all(dim=0)
    return sample_rows(volume, points_vox).where(inside, fill)
