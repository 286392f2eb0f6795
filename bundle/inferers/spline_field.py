"""Displacement fields of cubic B-splines, as in elastix and other free-form registration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHING_PASSES = 3  # means over 27 neighbours: makes the field smoother than the splines alone


class SplineField:
    """Dense fields (1, 3, H, W, D) from values at control points.

    Args:
        shape: sides H, W, D of the dense field.
        spacing_vox: distance (3) between control points.
        device: of the fields.
    Source: Rueckert et al. 1999, IEEE TMI 18(8), eq. 1; the three sums over a separable basis are matrix products.
    """

    def __init__(self, shape: Sequence[int], *, spacing_vox: Sequence[int], device: torch.device) -> None:
        self.bases = [cubic_basis(*pair).to(device) for pair in zip(shape, spacing_vox, strict=True)]

    def zeros(self) -> Tensor:
        """Control points (1, 3, h, w, d) of the zero field; one lies beyond each end of the grid."""
        return torch.zeros(1, 3, *(basis.shape[1] for basis in self.bases), device=self.bases[0].device)

    def __call__(self, control: Tensor) -> Tensor:
        """The dense field of smoothed control points; constants are preserved."""
        for _ in range(SMOOTHING_PASSES):
            control = mean_of_neighbours(control)
        along_h, along_w, along_d = self.bases
        field = torch.einsum("ha,bcaed->bched", along_h, control)
        field = torch.einsum("we,bched->bchwd", along_w, field)
        return field @ along_d.T


def cubic_basis(size: int, spacing_vox: int) -> Tensor:
    """Weights (size, N) of N control points at -1, 0, 1, ... times `spacing_vox` for each voxel; rows sum to one."""
    count = math.ceil((size - 1) / spacing_vox) + 3
    distance = (torch.arange(size)[:, None] / spacing_vox - torch.arange(-1, count - 1)).abs()
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, inner, outer)


def mean_of_neighbours(field: Tensor) -> Tensor:
    """Mean over 3x3x3 voxels of (B, C, H, W, D); border values extend beyond the border."""
    return F.avg_pool3d(F.pad(field, [1] * 6, mode="replicate"), 3, stride=1)
