"""Displacement fields of cubic B-splines, as in elastix and other free-form registration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_ROWS = 16  # of a grid, computed together
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
        field = along_h @ _planes(control, along_w, along_d)
        return field.view(len(along_h), len(along_w), len(along_d), 3).permute(3, 0, 1, 2)[None]


class SplineVectors:
    """Vectors of a `SplineField` at some voxels, with less memory and time than the whole field takes.

    Rows of the grid are computed a few at a time, from the control points that reach them.

    Args:
        voxels: (N,) flat indices into the grid, ascending.
    """

    def __init__(self, splines: SplineField, voxels: Tensor) -> None:
        along_h, self.along_w, self.along_d = splines.bases
        plane_size = len(self.along_w) * len(self.along_d)
        starts = range(0, len(along_h), BLOCK_ROWS)
        bounds = torch.tensor([*starts, len(along_h)], device=voxels.device) * plane_size
        places = torch.searchsorted(voxels, bounds).tolist()
        self.blocks: list[_Block] = []
        for start, first, last in zip(starts, places, places[1:], strict=False):
            weights = along_h[start : start + BLOCK_ROWS]
            used = weights.any(dim=0).nonzero()
            points = slice(int(used[0]), int(used[-1]) + 1)
            if first < last:
                part = slice(first, last)
                self.blocks.append(_Block(weights[:, points], points, part, voxels[part] - start * plane_size))
        self.count = len(voxels)

    def __call__(self, control: Tensor) -> Tensor:
        """The vectors (N, 3) of control points (1, 3, h, w, d)."""
        vectors: Tensor = _VectorsOfBlocks.apply(_planes(control, self.along_w, self.along_d), self.blocks, self.count)
        return vectors


class _Block(NamedTuple):
    """A few rows of a grid: weights (h, n) of the rows n of the control points, and the voxels in the block.

    part: places of these voxels among all; voxels: their indices in the block.
    """

    weights: Tensor
    points: slice
    part: slice
    voxels: Tensor


class _VectorsOfBlocks(torch.autograd.Function):
    """Vectors (N, 3) of the products of weights and planes, with neither all products nor their gradient in memory."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, blocks: list[_Block], count: int) -> Tensor:
        ctx.blocks, ctx.shape = blocks, planes.shape
        vectors = planes.new_empty(count, 3)
        for weights, points, part, voxels in blocks:
            torch.index_select((weights @ planes[points]).view(-1, 3), 0, voxels, out=vectors[part])
        return vectors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        by_planes = grad.new_zeros(ctx.shape)
        for weights, points, part, voxels in ctx.blocks:
            block = grad.new_zeros(len(weights) * ctx.shape[1] // 3, 3).index_copy_(0, voxels, grad[part])
            by_planes[points].addmm_(weights.T, block.view(len(weights), -1))
        return by_planes, None, None


def _planes(control: Tensor, along_w: Tensor, along_d: Tensor) -> Tensor:
    """The sums over the last two axes: a row (W * D * 3) for each control point of the first axis."""
    columns = torch.einsum("dk,cijk->ijdc", along_d, control[0])
    return torch.einsum("wj,ijdc->iwdc", along_w, columns).flatten(1)


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
