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
        self.bases = [smooth_basis(*pair).to(device) for pair in zip(shape, spacing_vox, strict=True)]

    def zeros(self) -> Tensor:
        """Control points (1, 3, h, w, d) of the zero field; one lies beyond each end of the grid."""
        return torch.zeros(1, 3, *(basis.shape[1] for basis in self.bases), device=self.bases[0].device)

    def __call__(self, control: Tensor, *, every_vox: int = 1) -> Tensor:
        """The field of control points at every `every_vox`-th voxel of the grid; constants are preserved.

        The components of a vector are neighbours in memory (channels last), so that the vectors at some voxels are
        gathered as rows.
        """
        along_h, along_w, along_d = (basis[::every_vox] for basis in self.bases)
        columns = torch.einsum("dk,cijk->ijdc", along_d, control[0])
        planes = torch.einsum("wj,ijdc->iwdc", along_w, columns)
        field = along_h @ planes.flatten(1)
        return field.view(len(along_h), len(along_w), len(along_d), 3).permute(3, 0, 1, 2)[None]


def smooth_basis(size: int, spacing_vox: int) -> Tensor:
    """`cubic_basis` of control points that are first averaged with their neighbours, `SMOOTHING_PASSES` times.

    The mean over 27 neighbours is a mean over three along each axis, where border values extend beyond the border: its
    product with the basis costs nothing when fields are evaluated.
    """
    basis = cubic_basis(size, spacing_vox)
    for _ in range(SMOOTHING_PASSES):
        basis = basis @ _mean_of_three(basis.shape[1])
    return basis


def _mean_of_three(count: int) -> Tensor:
    """Matrix (count, count) of the mean of a point and its two neighbours."""
    places = (torch.arange(count)[:, None] + torch.tensor([-1, 0, 1])).clamp(0, count - 1)
    return F.one_hot(places, count).float().mean(dim=1)


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
