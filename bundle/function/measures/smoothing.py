"""Gaussian smoothing inside a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MIN_WEIGHT = 1e-6  # of the kernel within the mask


def smooth_inside(
    volume: NDArray[np.float32], mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], sigma_mm: float
) -> NDArray[np.float32]:
    """Masked normalised convolution with a Gaussian: (G * (m f)) / (G * m), so that nothing outside the mask counts.

    Args:
        volume: (h, w, d); values outside the mask are not used.
        mask: (h, w, d).
        spacing_mm: voxel size.
        sigma_mm: standard deviation of the Gaussian, mm; 0 leaves the values as they are.
    Returns: (h, w, d), 0 outside the mask.
    Source: Knutsson and Westin 1993, Normalized and differential convolution, CVPR.
    """
    inside = np.where(mask, volume, np.float32(0))
    if sigma_mm == 0:
        return inside
    sigma_vox = [sigma_mm / size for size in spacing_mm]
    weight = _blur(mask.astype(np.float32), sigma_vox)
    smoothed = _blur(inside, sigma_vox) / np.maximum(weight, MIN_WEIGHT)
    return np.where(mask, smoothed, np.float32(0))


def _blur(volume: NDArray[np.float32], sigma_vox: list[float]) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(volume, sigma_vox, mode="constant")
    return blurred
