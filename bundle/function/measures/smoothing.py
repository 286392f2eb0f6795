"""Gaussian smoothing inside a mask."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, ndimage
from torch import Tensor

MIN_WEIGHT = 1e-6  # of the kernel within the mask
BLOCK = 64  # rows of a product


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
        blurred = torch.from_numpy(volume)
        for axis, sigma in enumerate(self.sigma_vox):
            blurred = _along(blurred, axis, _kernel(sigma))
        return blurred.numpy()


def _kernel(sigma_vox: float) -> NDArray[np.float32]:
    """SciPy's Gaussian (2 r + 1,), cut at 4 sigma."""
    radius = int(4.0 * sigma_vox + 0.5)
    impulse = np.zeros(2 * radius + 1)
    impulse[radius] = 1.0
    return ndimage.gaussian_filter1d(impulse, sigma_vox, mode="constant").astype(np.float32)


def _along(volume: Tensor, axis: int, kernel: NDArray[np.float32]) -> Tensor:
    """Convolution along one axis of (h, w, d), 0 outside: products with blocks of a band matrix.

    In half the time of `ndimage.gaussian_filter`, which computes in float64.
    """
    size, radius = volume.shape[axis], len(kernel) // 2
    band = torch.from_numpy(linalg.toeplitz(np.pad(kernel[radius:], (0, max(0, size - radius - 1)))[:size]))
    result = torch.empty_like(volume)
    for start in range(0, size, BLOCK):
        rows = slice(start, min(start + BLOCK, size))
        used = slice(max(0, start - radius), min(size, rows.stop + radius))
        part, weights = volume.narrow(axis, used.start, used.stop - used.start), band[rows, used]
        out = result.narrow(axis, start, rows.stop - start)
        if axis == 0:
            torch.mm(weights, part.flatten(1), out=out.flatten(1))
        elif axis == 1:
            out.copy_(weights @ part)
        else:
            out.copy_(part @ weights.T)
    return result
