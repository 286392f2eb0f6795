from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SLAB_VALUES = 2**20  # of a feature map that are processed at a time, so that they stay in the cache


def normalize_features(fixed: Tensor, warped: Tensor, eps: float = 1e-8) -> tuple[Tensor, Tensor]:
    """Standardise two feature maps (B, C, h, w, d) to zero common mean and unit common variance, in float32.

    Mean and variance are taken per sample over the channels and voxels of both maps, which preserves the differences
    between the maps, mean and contrast included. `eps` is added to the variance: it keeps constant maps, and their
    gradient, finite.
    """
    # Differs from the authors' code, which averages the standard deviations of the two maps.
    fixed, warped = fixed.float(), warped.float()
    axes = [1, 2, 3, 4]
    mean = (fixed.mean(axes, keepdim=True) + warped.mean(axes, keepdim=True)) / 2
    fixed, warped = fixed - mean, warped - mean
    variance = (fixed.square().mean(axes, keepdim=True) + warped.square().mean(axes, keepdim=True)) / 2
    inverse_std = torch.rsqrt(variance + eps)
    return fixed * inverse_std, warped * inverse_std


class CostVolume(nn.Module):
    """Similarity of each fixed voxel to the warped voxels around it.

    cost(x)[i] = mean over channels of fixed(x) * warped(x + i), zero where x + i is outside; i runs over the
    neighbourhood in row-major order.

    Args:
        radius_vox: of the neighbourhood.
        neighbourhood: "cube" (maximum norm, the authors' code) or "cityblock" (l1 norm, the paper's text).
    Raises: ValueError for another neighbourhood.
    Source: He et al. 2021, eq. 2.
    """

    def __init__(self, *, radius_vox: int, neighbourhood: Literal["cube", "cityblock"]) -> None:
        super().__init__()
        reach = {"cube": 3 * radius_vox, "cityblock": radius_vox}  # largest |i| + |j| + |k|
        if neighbourhood not in reach:
            raise ValueError(f"neighbourhood: expected one of {sorted(reach)}, got {neighbourhood!r}")
        self.radius_vox = radius_vox
        self.reach_vox = reach[neighbourhood]
        steps = range(-radius_vox, radius_vox + 1)
        self.num_offsets = sum(abs(i) + abs(j) + abs(k) <= self.reach_vox for i in steps for j in steps for k in steps)

    def forward(self, fixed: Tensor, warped: Tensor) -> Tensor:
        """Map two float32 tensors (B, C, h, w, d) to (B, num_offsets, h, w, d)."""
        padded = F.pad(warped, [self.radius_vox] * 6)
        # Export formats do not know autograd functions. TorchScript skips what the first condition excludes.
        # Torch's stubs do not list is_scripting and is_tracing.
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            is_exported = torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined]
            if not is_exported:
                costs: Tensor = _MeanProducts.apply(fixed.contiguous(), padded.contiguous(), self._offsets())
                return costs
        return self._stacked_costs(fixed, padded)

    def _stacked_costs(self, fixed: Tensor, padded: Tensor) -> Tensor:
        """The same in operations that export formats know, for all neighbours along the last axis at a time.

        Exporters take time with the square of the number of operations: minutes with a few for each neighbour.
        """
        h, w, d = fixed.shape[2:]
        radius = self.radius_vox
        shifted = torch.stack([padded[:, :, :, :, k : k + d] for k in range(2 * radius + 1)], dim=1)
        costs: list[Tensor] = []
        for i in range(2 * radius + 1):
            rows = shifted[:, :, :, i : i + h]
            for j in range(2 * radius + 1):
                reach = min(radius, self.reach_vox - abs(i - radius) - abs(j - radius))
                if reach >= 0:
                    near = rows[:, radius - reach : radius + reach + 1, :, :, j : j + w]
                    costs.append((fixed.unsqueeze(1) * near).mean(2))
        return torch.cat(costs, dim=1)

    def _offsets(self) -> list[tuple[int, int, int]]:
        """First voxel of each neighbour in the padded map, row-major."""
        radius = self.radius_vox
        offsets: list[tuple[int, int, int]] = []
        for i in range(2 * radius + 1):
            for j in range(2 * radius + 1):
                for k in range(2 * radius + 1):
                    if abs(i - radius) + abs(j - radius) + abs(k - radius) <= self.reach_vox:
                        offsets.append((i, j, k))
        return offsets


class _MeanProducts(torch.autograd.Function):
    """Mean over channels of a map (B, C, h, w, d) times a padded one, shifted to each of the offsets.

    Stores the two maps for the backward pass; autograd would store both factors of each of the 125 products.
    """

    @staticmethod
    def forward(ctx: Any, fixed: Tensor, padded: Tensor, offsets: list[tuple[int, int, int]]) -> Tensor:
        costs = fixed.new_empty((fixed.shape[0], len(offsets), *fixed.shape[2:]))
        for rows, part, shifted in _slabs(fixed, padded, offsets):
            product = torch.empty_like(part)
            for n, neighbour in enumerate(shifted):
                torch.mean(torch.mul(part, neighbour, out=product), dim=1, out=costs[:, n, rows])
        ctx.save_for_backward(fixed, padded)
        ctx.offsets = offsets
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        fixed, padded = ctx.saved_tensors
        weights = grad / fixed.shape[1]
        by_fixed, by_padded = torch.zeros_like(fixed), torch.zeros_like(padded)
        by_slabs = _slabs(by_fixed, by_padded, ctx.offsets)
        for (rows, part, shifted), (_, by_part, by_shifted) in zip(
            _slabs(fixed, padded, ctx.offsets), by_slabs, strict=True
        ):
            for n, (neighbour, by_neighbour) in enumerate(zip(shifted, by_shifted, strict=True)):
                weight = weights[:, n : n + 1, rows]
                by_part.addcmul_(weight, neighbour)
                by_neighbour.addcmul_(weight, part)
        return by_fixed, by_padded, None


def _slabs(
    fixed: Tensor, padded: Tensor, offsets: list[tuple[int, int, int]]
) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
    """Rows of each slab, the map's part (B, C, rows, w, d), and the part of the padded map at each offset."""
    h, w, d = fixed.shape[2:]
    step = max(1, SLAB_VALUES * h // max(fixed.numel(), 1))
    for start in range(0, h, step):
        stop = min(start + step, h)
        yield (
            slice(start, stop),
            fixed[:, :, start:stop],
            [padded[:, :, start + i : stop + i, j : j + w, k : k + d] for i, j, k in offsets],
        )
