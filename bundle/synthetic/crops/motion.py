"""Further motion of a crop: smooth waves of several lengths, and the inverse of a share of the known motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.geometry import warp

SIZES_MM = ((0.0, 1.5), (0.0, 6.0), (2.0, 14.0))  # ranges of the largest displacement, equally likely
FINE_SIZES_MM = ((0.0, 1.5), (0.0, 5.0))  # of crops for later passes
CONTROL_POINTS = (2, 3, 4, 6, 9)  # of a wave, along each side of the crop
WAVE_PROBABILITY = 0.6
STRAIN = 0.2  # a wave's largest displacement relative to the distance of its control points
DRAWN_FRACTION = 4  # waves are drawn at this fraction of the resolution, and smoothed there
INVERSE_STEPS = 8
UNDO_FRACTIONS = (4, 8)  # the known motion is smoothed to one of these fractions of the resolution


def draw_waves_vox(
    side: int, voxel_mm: float, sizes_mm: Sequence[tuple[float, float]], rng: np.random.RandomState
) -> Tensor:
    """A smooth ddf (3, side, side, side), voxels: a shift and waves of a size from one of the ranges `sizes_mm`."""
    size_vox = rng.uniform(*sizes_mm[rng.randint(len(sizes_mm))]) / voxel_mm
    low = -(-side // DRAWN_FRACTION)
    total = _tensor(rng.uniform(-0.5, 0.5, (1, 3, 1, 1, 1)) * size_vox).expand(1, 3, low, low, low).clone()
    for count in CONTROL_POINTS:
        if rng.uniform() < WAVE_PROBABILITY:
            peak_vox = min(size_vox, STRAIN * (side - 1) / (count - 1)) * rng.uniform()
            nodes = _tensor(rng.uniform(-peak_vox, peak_vox, (1, 3, count, count, count)))
            total += F.interpolate(nodes, size=[low] * 3, mode="trilinear", align_corners=True)
    total = F.avg_pool3d(F.pad(total, [1] * 6, mode="replicate"), 3, 1)
    return F.interpolate(total, size=[side] * 3, mode="trilinear", align_corners=True)[0]


def undo_vox(known: Tensor, share: float, fraction: int) -> Tensor:
    """v (3, S, S, S) with v(p) = -s(p + v(p)): the inverse of a share of the smoothed known ddf, voxels.

    What is left of the known motion after it is what an earlier pass of the network leaves, sliding included.

    Args:
        known: (3, S, S, S).
        share: of the known motion, in [0, 1].
        fraction: of the resolution at which the known motion is smoothed; divides S.
    """
    side = known.shape[-1]
    low = [side // fraction] * 3
    coarse = F.interpolate(known[None], size=low, mode="area") * (share / fraction)  # in voxels of its own
    coarse = F.avg_pool3d(F.pad(coarse, [1] * 6, mode="replicate"), 3, 1)
    inverse = -coarse
    for _ in range(INVERSE_STEPS):
        inverse = 0.5 * inverse - 0.5 * warp(coarse, inverse)
    return F.interpolate(inverse * fraction, size=[side] * 3, mode="trilinear", align_corners=False)[0]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
