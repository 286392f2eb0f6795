"""Resampling of scans: interpolation at points, and block averaging."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor

from bundle.geometry import affine_columns, sample_rows, slabs, slabs_of_points, spacing_mm

AIR_HU = -1000.0  # fill value outside a CT scan


def resample(volume: Tensor, points_vox: Tensor, fill: float) -> Tensor:
    """Interpolate `volume` (C, H, W, D) trilinearly at `points_vox` (3, h, w, d), with `fill` outside the scan.

    As in ITK, the scan extends half a voxel beyond the outermost centres, with its border values.
    """
    sampled = volume.new_empty((volume.shape[0], *points_vox.shape[1:]))
    for start, stop in slabs(points_vox.shape[1:]):
        sampled[:, start:stop] = _resample_slab(volume, points_vox[:, start:stop], fill)
    return sampled


def resample_displaced(
    volume: Tensor, volume_affine: Tensor, displacement_mm: Tensor, affine: Tensor, fill: float
) -> Tensor:
    """Interpolate `volume` (C, H, W, D) at x + u(x) for every voxel x of another grid, with `fill` as in `resample`.

    Args:
        volume_affine: (4, 4), voxels of `volume` to RAS mm.
        displacement_mm: u (3, h, w, d), RAS mm, on the grid of `affine` (4, 4).
    """
    to_volume = torch.linalg.inv(volume_affine.double())
    grid_to_volume, vectors = to_volume @ affine.double(), to_volume.clone()
    vectors[:3, 3] = 0.0  # the translation does not apply to displacement vectors
    shape = displacement_mm.shape[1:]
    sampled = volume.new_empty((volume.shape[0], *shape))
    for rows, points in slabs_of_points(shape, displacement_mm):
        shift_vox = affine_columns(vectors, displacement_mm[:, rows].flatten(1))
        points_vox = shift_vox.add_(affine_columns(grid_to_volume, points.flatten(1))).view_as(points)
        sampled[:, rows] = _resample_slab(volume, points_vox, fill)
    return sampled


def _resample_slab(volume: Tensor, points_vox: Tensor, fill: float) -> Tensor:
    """`resample` of one slab."""
    last = torch.tensor(volume.shape[1:], device=points_vox.device).view(3, 1, 1, 1) - 0.5
    inside = ((points_vox >= -0.5) & (points_vox < last)).all(dim=0)
    return sample_rows(volume, points_vox).where(inside, fill)


def coarsen(scan: MetaTensor, target_mm: float | tuple[float, float, float]) -> MetaTensor:
    """Average the voxels of a scan, in RAS axis order, into blocks no larger than `target_mm`.

    Averaging avoids aliasing of noise and small vessels. The axis order is made canonical first: the same anatomy
    stored with permuted or flipped axes gives the same blocks.

    Args:
        scan: (C, H, W, D) with its affine.
        target_mm: target voxel size, one for all axes or one each along R, A and S.
    Returns: (C, h, w, d) float32, its affine at the block centres; voxels outside whole blocks are dropped.
    """
    canonical = Orientation(axcodes="RAS", labels=None)(scan)
    voxel_mm = spacing_mm(canonical.affine)
    targets = torch.as_tensor(target_mm).expand(3)
    blocks = [
        max(1, min(int(target / size + 1e-3), count))
        for target, size, count in zip(targets, voxel_mm, canonical.shape[1:], strict=True)
    ]
    centre = torch.eye(4, dtype=torch.float64)
    centre[:3, :3] = torch.diag(torch.tensor(blocks, dtype=torch.float64))
    centre[:3, 3] = (torch.tensor(blocks, dtype=torch.float64) - 1) / 2
    averaged = F.avg_pool3d(canonical.as_tensor().float()[None], blocks)[0]
    return MetaTensor(averaged, affine=canonical.affine.double() @ centre)
