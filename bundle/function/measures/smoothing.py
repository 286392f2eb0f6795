"""Gaussian smoothing inside a mask."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MIN_WEIGHT = 1e-6  # of the kernel within the mask


class LungSmoother:
    """Masked normalised convolution with a Gaussian: (G * (m f)) / (G * m), so that nothing outside the mask counts.

    Args:
        mask: m, (h, w, d).
        spacing_mm: voxel size.
        sigma_mm: standard deviation of the Gaussian, mm; 0 leaves the values as they are.
    Source: Knutsson and Westin 1993, Normalized and differential convolution, CVPR.
    """

    def __init__(self, mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], sigma_mm: float) -> None:
        self.mask = mask
        self.sigma_vox = [sigma_mm / size for size in spacing_mm]

    def __call__(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smoothed values (n,) of a volume (h, w, d) in the voxels of the mask; values outside it are not used."""
        if not any(self.sigma_vox):
            return volume[self.mask]
        return self._blur(np.where(self.mask, volume, np.float32(0)))[self.mask] / self._weights

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        return np.maximum(self._blur(self.mask.astype(np.float32))[self.mask], MIN_WEIGHT)

    def _blur(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred: NDArray[np.float32] = ndimage.gaussian_filter(volume, self.sigma_vox, mode="constant")
        return blurred
