"""Smooth displacement fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.convutils import gaussian_1d
from monai.networks.layers.simplelayers import separable_filtering
from torch import Tensor

from bundle.geometry import jacobian_determinant
from bundle.inferers.spline_field import mean_of_neighbours

MAX_FOLDING = 1e-3  # share of the region's voxels whose Jacobian may be 0 or less
VOXELS_OF_SIGMA = 3  # of the grid on which a field is smoothed


def smooth_ddf(ddf_vox: Tensor, sigma_vox: Sequence[float]) -> Tensor:
    """Smooth a ddf (B, 3, H, W, D) by a Gaussian of several voxels; border values extend beyond the border.

    Computed on a coarser grid, where it is a hundred times faster, and interpolated.
    """
    sides = list(ddf_vox.shape[2:])
    low = [
        min(side, max(round(VOXELS_OF_SIGMA * side / sigma), 1)) for side, sigma in zip(sides, sigma_vox, strict=True)
    ]
    scales = [few / side for few, side in zip(low, sides, strict=True)]
    kernels = [
        gaussian_1d(torch.tensor(sigma * scale), normalize=True) for sigma, scale in zip(sigma_vox, scales, strict=True)
    ]
    coarse = separable_filtering(F.interpolate(ddf_vox, size=low, mode="area"), kernels, mode="replicate")
    return F.interpolate(coarse, size=sides, mode="trilinear")


def unfold(ddf_vox: Tensor, region: Tensor) -> Tensor:
    """Smooth a ddf (1, 3, H, W, D) until at most `MAX_FOLDING` of the region (1, 1, H, W, D) folds."""
    while (jacobian_determinant(ddf_vox[0], torch.eye(3))[region[0, 0]] <= 0).float().mean() > MAX_FOLDING:
        ddf_vox = mean_of_neighbours(ddf_vox)
    return ddf_vox
