"""Landmarks at bright spots of the lungs, spread evenly."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

SCALE_MM = 1.5  # sigma: highest response for vessels of 3 to 4 mm
BACKGROUND_MM = 6.0  # sigma of the local background
FIRST_GAP_MM = 16.0  # initial minimum distance; reduced until there are enough landmarks
GAP_STEP = 0.8


def vessel_landmarks_vox(
    hu: Tensor, mask: Tensor, *, step_mm: tuple[float, float, float], count: int, pleura_mm: float, seed: int
) -> Tensor:
    """Voxels (N, 3) int64, N at most `count`, at local maxima of the contrast.

    Args:
        hu, mask: (H, W, D), scan and non-empty lung mask.
        step_mm: voxel size.
        count: number of landmarks to choose, as far apart as possible.
        pleura_mm: minimum distance from the surface of the mask.
        seed: seed of the random preference among vessels.
    """
    low = np.maximum(mask.nonzero().amin(dim=0).numpy() - 2, 0)
    high = mask.nonzero().amax(dim=0).numpy() + 3
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    voxels, steps = np.clip(hu[box].numpy(), -1000.0, 100.0), np.array(step_mm)
    contrast = ndimage.gaussian_filter(voxels, SCALE_MM / steps, truncate=3.0)
    contrast -= ndimage.gaussian_filter(voxels, BACKGROUND_MM / steps, truncate=2.0)
    inside = mask[box].numpy() > 0
    found = np.argwhere((contrast == ndimage.maximum_filter(contrast, 5)) & inside)
    found = found[_is_deep(inside, found, steps, pleura_mm)]
    rng = np.random.RandomState(seed)
    preference = contrast[tuple(found.T)] * rng.uniform(0.5, 1.0, len(found))  # prevents a bias to the largest vessels
    order = np.argsort(-preference)
    spread = _spread(found[order] * steps, count)
    return torch.from_numpy(found[order][spread] + low)


def _is_deep(inside: np.ndarray, points: np.ndarray, steps_mm: np.ndarray, depth_mm: float) -> np.ndarray:
    """Which points (N, 3) of a mask (H, W, D) are more than `depth_mm` from voxels outside it, or outside the scan.

    Only the points are looked at: a distance transform of the whole mask takes much longer.
    """
    reach = np.ceil(depth_mm / steps_mm).astype(int)
    offsets = np.argwhere(np.ones(2 * reach + 1, bool)) - reach
    offsets = offsets[((offsets * steps_mm) ** 2).sum(axis=1) <= depth_mm**2]
    padded = np.pad(inside, [(side, side) for side in reach])
    first, around = (np.ravel_multi_index(tuple(vox.T), padded.shape) for vox in (points, offsets + reach))
    deep: np.ndarray = padded.ravel()[first[:, None] + around].all(axis=1)
    return deep


def _spread(points_mm: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to `count` points, as far apart as possible, earlier points preferred."""
    gap_mm, chosen = FIRST_GAP_MM, list[int]()
    is_free = np.ones(len(points_mm), dtype=bool)
    while len(chosen) < min(count, len(points_mm)):
        for index in np.flatnonzero(is_free):
            taken = points_mm[chosen]
            if len(chosen) < count and not (((taken - points_mm[index]) ** 2).sum(axis=1) < gap_mm**2).any():
                chosen.append(int(index))
        is_free[chosen] = False
        gap_mm *= GAP_STEP
    return np.array(chosen, dtype=int)
