from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        # Nested slices, axis by axis, halve the time of 125 slices of the padded map: in the backward pass, each slice
        # allocates a tensor of the size of its source.
        radius = self.radius_vox
        padded = F.pad(warped, [radius] * 6)
        costs = []
        for i in range(2 * radius + 1):
            rows = padded.narrow(2, i, fixed.shape[2])
            for j in range(2 * radius + 1):
                columns = rows.narrow(3, j, fixed.shape[3])
                for k in range(2 * radius + 1):
                    if abs(i - radius) + abs(j - radius) + abs(k - radius) <= self.reach_vox:
                        costs.append((fixed * columns.narrow(4, k, fixed.shape[4])).mean(1))
        return torch.stack(costs, dim=1)
