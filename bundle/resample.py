"""Resampling of scans: interpolation at points, and block averaging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Orientation
from nibabel.orientations import io_orientation
from torch import Tensor

from bundle.geometry import (
    WorldTransform,
    affine_columns,
    identity_vox,
    sample_rows,
    slabs,
    slabs_of_points,
    spacing_mm,
)

AIR_HU = -1000.0  # fill value outside a CT scan
PARALLEL_VOX = 1e-3  # axes that stray less than this over a whole grid are parallel
SLAB_VOXELS = 1_000_000  # of a grid with parallel axes


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


def warp_volume(
    volume: Tensor, volume_affine: Tensor, transform: WorldTransform, shape: Sequence[int], affine: Tensor, fill: float
) -> Iterator[tuple[slice, Tensor]]:
    """Interpolate `volume` (C, H, W, D) at T(x) for every voxel x of a grid of the fixed world, slab by slab.

    Args:
        volume_affine: (4, 4), voxels of `volume` to the moving world, RAS mm.
        transform: T, fixed world to moving world.
        shape, affine: of the other grid, (4, 4) to RAS mm.
    Yields: rows and their voxels (C, h, W, D), with `fill` as in `resample`.
    """
    to_volume = torch.linalg.inv(volume_affine.double()) @ transform.grid_to_moving.double()
    to_grid = torch.linalg.inv(transform.grid_to_fixed.double()) @ affine.double()
    shift_vox = torch.einsum("ab,bhwd->ahwd", to_volume[:3, :3].to(transform.ddf_vox), transform.ddf_vox[0])
    to_volume = (to_volume @ to_grid).to(shift_vox)
    plane = affine_columns(to_volume, identity_vox([1, *shape[1:]], shift_vox).view(3, -1)).view(3, 1, *shape[1:])
    for rows, points_vox in sample_on_grid(shift_vox, to_grid, shape):
        steps = torch.arange(rows.start, rows.stop, device=points_vox.device)
        points_vox += plane + (to_volume[:3, :1] * steps)[..., None, None]
        yield rows, _resample_slab(volume, points_vox, fill)


def sample_on_grid(volume: Tensor, to_volume: Tensor, shape: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
    """Interpolate `volume` (C, h, w, d) trilinearly on a grid of `shape`, with border values outside, slab by slab.

    Parallel axes, as of a scan and its network grid, take one small matrix each: a fifth of the time.

    Args:
        to_volume: (4, 4), voxels of the grid to those of `volume`.
    Yields: rows and their values (C, h, W, D).
    """
    axes = _parallel_axes(to_volume, shape)
    if axes is None:
        for rows, points in slabs_of_points(shape, volume):
            yield rows, sample_rows(volume, affine_columns(to_volume, points.flatten(1)).view_as(points))
        return
    sorted_volume = volume.permute(0, *[axis + 1 for axis in axes])
    matrices = [
        _weights(size, sorted_volume.shape[number + 1], to_volume[axis, [number, 3]]).to(volume)
        for number, (size, axis) in enumerate(zip(shape, axes, strict=True))
    ]
    height = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for weights, start in zip(matrices[0].split(height), range(0, shape[0], height), strict=True):
        used = weights.any(dim=0).nonzero()
        needed = slice(int(used[0]), int(used[-1]) + 1)
        part = matrices[1] @ (sorted_volume[:, needed] @ matrices[2].T)
        yield slice(start, start + len(weights)), torch.einsum("hn,cnwd->chwd", weights[:, needed], part)


def _parallel_axes(to_volume: Tensor, shape: Sequence[int]) -> list[int] | None:
    """The axis of the volume along each axis of a grid of `shape`; None unless they are parallel."""
    reach_vox = (to_volume[:3, :3] * torch.tensor(shape, dtype=to_volume.dtype)).abs()
    axes = reach_vox.argmax(dim=0)
    reach_vox[axes, torch.arange(3)] = 0.0
    return axes.tolist() if len(set(axes.tolist())) == 3 and float(reach_vox.max()) < PARALLEL_VOX else None


def _weights(size: int, volume_size: int, line: Tensor) -> Tensor:
    """Weights (size, volume_size) of linear interpolation at voxels line[0] n + line[1], n = 0, 1, ..."""
    places = (line[0] * torch.arange(size) + line[1]).clamp(0, volume_size - 1)
    return (1 - (places[:, None] - torch.arange(volume_size)).abs()).clamp_min(0)


def _resample_slab(volume: Tensor, points_vox: Tensor, fill: float) -> Tensor:
    """`resample` of one slab."""
    last = torch.tensor(volume.shape[1:], device=points_vox.device).view(3, 1, 1, 1) - 0.5
    inside = ((points_vox >= -0.5) & (points_vox < last)).all(dim=0)
    return sample_rows(volume, points_vox).where(inside, fill)


def coarsen(
    scan: MetaTensor, target_mm: float | tuple[float, float, float], within_vox: Tensor | None = None
) -> MetaTensor:
    """Average the voxels of a scan, in RAS axis order, into blocks no larger than `target_mm`.

    Averaging avoids aliasing of noise and small vessels. The axis order is made canonical first: the same anatomy
    stored with permuted or flipped axes gives the same blocks.

    Args:
        scan: (C, H, W, D) with its affine.
        target_mm: target voxel size, one for all axes or one each along R, A and S.
        within_vox: (2, 3), ends of a box in voxels of the scan: only blocks that interpolation in it reads are made.
    Returns: (C, h, w, d) float32, its affine at the block centres; voxels outside whole blocks are dropped.
    """
    order = sorted(range(3), key=lambda axis: -scan.stride(axis + 1))  # slabs below are compact in memory
    voxels, affine = scan.as_tensor().permute(0, *[axis + 1 for axis in order]), scan.affine.double()[:, [*order, 3]]
    sides = voxels.shape[1:]
    orientation = io_orientation(affine.numpy())  # RAS axis of each own axis, and -1 where it is flipped
    targets = torch.as_tensor(target_mm).expand(3)[orientation[:, 0].astype(int)]
    blocks = [
        max(1, min(int(target / size + 1e-3), count))
        for target, size, count in zip(targets, spacing_mm(affine), sides, strict=True)
    ]
    firsts = [
        count % block if flip < 0 else 0 for count, block, flip in zip(sides, blocks, orientation[:, 1], strict=True)
    ]
    counts = [count // block for count, block in zip(sides, blocks, strict=True)]
    if within_vox is not None:
        for axis, (low, high) in enumerate(within_vox.T[order].tolist()):
            begin, end = ((place - firsts[axis]) // blocks[axis] for place in (low, high))
            begin = int(min(max(begin - 1, 0), counts[axis] - 1))
            counts[axis] = int(min(max(end + 2, begin + 1), counts[axis])) - begin
            firsts[axis] += begin * blocks[axis]
    centre = torch.eye(4, dtype=torch.float64)
    centre[:3, :3] = torch.diag(torch.tensor(blocks, dtype=torch.float64))
    centre[:3, 3] = torch.tensor(firsts) + (torch.tensor(blocks, dtype=torch.float64) - 1) / 2
    ends = [first + count * block for first, count, block in zip(firsts, counts, blocks, strict=True)]
    voxels = voxels[(slice(None), *(slice(*part) for part in zip(firsts, ends, strict=True)))]
    coarse = torch.empty(voxels.shape[0], *counts)
    for start, stop in slabs([coarse.shape[1], blocks[0] * voxels.shape[2], voxels.shape[3]]):  # no copy of the scan
        rows = voxels[:, start * blocks[0] : stop * blocks[0]].unflatten(1, (stop - start, blocks[0]))
        coarse[:, start:stop] = F.avg_pool3d(rows.transpose(0, 1).float(), blocks)[:, :, 0].transpose(0, 1)
    return Orientation(axcodes="RAS", labels=None)(MetaTensor(coarse, affine=affine @ centre))
