from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss
from torch.utils.checkpoint import checkpoint


class TotalVariationLoss(_Loss):
    """Mean absolute (or squared) forward difference of a ddf over its components and the three axes.

    All axes have equal weight, at any length: a ddf with slope a in one component along one axis gives |a| / 9.

    Args:
        squared: squared differences (diffusion, as in the authors' code) instead of absolute ones.
        reduction: "mean", or "none" for one value per sample and component.
    Raises: ValueError for another reduction.
    Source: He et al. 2021, eq. 5.
    """

    def __init__(self, *, squared: bool = False, reduction: Literal["mean", "none"] = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction: expected 'mean' or 'none', got {reduction!r}")
        self.squared = squared
        self.reduction = reduction

    def forward(self, ddf_vox: Tensor) -> Tensor:
        """Loss of a ddf (B, 3, H, W, D), voxels: a scalar, or (B, 3) without reduction; float32 or better.

        Raises: ValueError if a side is shorter than two voxels.
        """
        if ddf_vox.dim() != 5 or min(ddf_vox.shape[2:]) < 2:
            raise ValueError(f"ddf_vox: expected (B, 3, H, W, D), sides of 2 or more, got {tuple(ddf_vox.shape)}")
        ddf_vox = ddf_vox.to(torch.promote_types(ddf_vox.dtype, torch.float32))
        total = ddf_vox.new_zeros(ddf_vox.shape[:2])
        for axis in (2, 3, 4):  # computed again in the backward pass: three differences are three fields
            total = total + checkpoint(self._along, ddf_vox, axis, use_reentrant=False, preserve_rng_state=False) / 3
        return total.mean() if self.reduction == "mean" else total

    def _along(self, ddf_vox: Tensor, axis: int) -> Tensor:
        difference = ddf_vox.diff(dim=axis)
        return (difference.square() if self.squared else difference.abs()).mean(dim=(2, 3, 4))
