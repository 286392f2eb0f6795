"""Draw tubes into a volume with partial-volume blur, without resampling an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bundle.synthetic.phantom.anatomy import Array
from bundle.synthetic.phantom.trees import Tubes

CHUNK = 3_000_000  # voxel-tube distances per batch
REACH = 2.2  # drawn margin outside the wall, in blur widths


def draw_tubes(tubes: Tubes, shape: tuple[int, int, int], affine: Array) -> Array:
    """Volume fraction of the tubes in each voxel, (H, W, D) float32 in [0, 1]; the maximum where tubes overlap.

    Args:
        tubes: in mm of the grid's world.
        shape, affine: the grid, with orthogonal axes.

    The profile across a tube approximates a blurred disc: exact on the axis, with the edge at the radius.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    blur_mm = 0.42 * float(np.cbrt(spacing.prod()))
    to_vox = np.linalg.inv(affine)
    start = tubes.start_mm @ to_vox[:3, :3].T + to_vox[:3, 3]
    end = tubes.end_mm @ to_vox[:3, :3].T + to_vox[:3, 3]
    middle, half = 0.5 * (start + end), 0.5 * (end - start)
    reach = np.abs(half) + (tubes.radius_mm[:, None] + REACH * blur_mm) / spacing
    seen = ((middle + reach > -0.5) & (middle - reach < np.array(shape) - 0.5)).all(axis=1)
    box = np.ceil(reach).astype(int)
    margin = 2 * box[seen].max(axis=0, initial=0) + 1  # tubes at the border are drawn completely, then cropped
    padded = np.array(shape) + 2 * margin
    strides = np.array([padded[1] * padded[2], padded[2], 1])
    filled = torch.zeros(int(padded.prod()))
    for size in np.unique(box[seen], axis=0):
        rows = np.flatnonzero(seen & (box == size).all(axis=1))
        axes = [np.arange(-n, n + 1) for n in size]
        offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        for part in np.array_split(rows, max(1, len(rows) * len(offsets) // CHUNK)):
            nearest = np.rint(middle[part]).astype(int)
            cover = _cover(
                torch.from_numpy((offsets * spacing).astype(np.float32)),
                torch.from_numpy(((nearest - middle[part]) * spacing).astype(np.float32)),
                torch.from_numpy((half[part] * spacing).astype(np.float32)),
                torch.from_numpy(tubes.radius_mm[part, None].astype(np.float32)),
                blur_mm,
            )
            index = torch.from_numpy((nearest + margin) @ strides)[:, None] + torch.from_numpy(offsets @ strides)
            filled.scatter_reduce_(0, index.flatten(), cover.flatten(), "amax")
    inner = tuple(slice(m, m + n) for m, n in zip(margin.tolist(), shape, strict=True))
    return filled.numpy().reshape(padded)[inner]


def _cover(offsets: Tensor, first: Tensor, axis: Tensor, radius: Tensor, blur_mm: float) -> Tensor:
    """Volume fraction (N, M) of N tubes in the voxels at `first` (N, 3) + `offsets` (M, 3) from their centres, mm.

    `axis` (N, 3) points from the centre to the end of a tube, `radius` is (N, 1).
    """
    squared = axis.square().sum(dim=1, keepdim=True).clamp(min=1e-6)
    along = axis @ offsets.T + (axis * first).sum(dim=1, keepdim=True)
    t = (along / squared).clamp(-1.0, 1.0)
    distance = offsets.square().sum(dim=1) + 2.0 * first @ offsets.T + first.square().sum(dim=1, keepdim=True)
    gap = (distance + t * (t * squared - 2.0 * along)).clamp(min=0.0).sqrt()
    width = 2.0**0.5 * blur_mm
    peak = 1.0 - torch.exp(-((radius / width) ** 2))
    profile = torch.erf((gap + radius) / width) - torch.erf((gap - radius) / width)
    return profile * (peak / (2.0 * torch.erf(radius / width)))
