from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.loss import _Loss

VARIANCE_FLOOR = 1e-6  # of intensities in [0, 1]: 1 HU of noise in a 900 HU window; constant patches have LNCC 0


class LocalCrossCorrelationLoss(_Loss):
    """Negative squared local normalised cross correlation (LNCC) of two images in a cubic window around each voxel.

    It is -1 where one image is an affine function of the other, also at the border, where windows are cropped to the
    image. Computed in float32 or better, also under autocast; memory and time do not depend on the window's volume.

    Args:
        window_vox: side of the window, odd; 5 in the authors' code.
        reduction: "mean" over voxels, weighted by the mask if there is one, or "none".
    Raises: ValueError for an even window or another reduction.
    Source: He et al. 2021, eq. 4.
    """

    def __init__(self, *, window_vox: int = 5, reduction: Literal["mean", "none"] = "mean") -> None:
        super().__init__()
        if window_vox < 1 or window_vox % 2 == 0:
            raise ValueError(f"window_vox: expected an odd number of voxels, got {window_vox}")
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction: expected 'mean' or 'none', got {reduction!r}")
        self.window_vox = window_vox
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of two images (B, C, H, W, D) in [0, 1]; `mask`, broadcastable to them, contains weights >= 0.

        Returns: a scalar (0 for an empty mask), or (B, C, H, W, D) multiplied by the mask without reduction.
        Raises: ValueError if the images differ in shape.
        """
        if pred.shape != target.shape or pred.dim() != 5:
            raise ValueError(
                f"pred, target: expected one shape (B, C, H, W, D), got {tuple(pred.shape)} and {tuple(target.shape)}"
            )
        dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
        loss = -_SquaredCorrelation.apply(_center(pred.to(dtype)), _center(target.to(dtype)), self.window_vox // 2)
        if mask is None:
            return loss.mean() if self.reduction == "mean" else loss
        weights = mask.to(dtype).expand_as(loss)
        if self.reduction == "none":
            return loss * weights
        return (loss * weights).sum() / weights.sum().clamp_min(torch.finfo(dtype).tiny)


def _center(image: Tensor) -> Tensor:
    """Subtract the mean of each sample: keeps the LNCC and the precision of var = E[x^2] - E[x]^2."""
    return image - image.detach().mean(dim=(2, 3, 4), keepdim=True)


class _SquaredCorrelation(torch.autograd.Function):
    """cov^2 / (var_x var_y) with an explicit gradient: half the time and two thirds of the memory of autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, radius_vox: int) -> Tensor:
        inverse_count = _box_sum(x.new_ones((1, 1, *x.shape[2:])), radius_vox).reciprocal_()
        mean_x = _box_sum(x, radius_vox).mul_(inverse_count)
        mean_y = _box_sum(y, radius_vox).mul_(inverse_count)

        def floored_variance(image: Tensor, mean: Tensor) -> Tensor:
            variance = _box_sum(image * image, radius_vox).mul_(inverse_count).addcmul_(mean, mean, value=-1)
            return variance.clamp_min_(0).add_(VARIANCE_FLOOR)

        var_x, var_y = floored_variance(x, mean_x), floored_variance(y, mean_y)
        cov = _box_sum(x * y, radius_vox).mul_(inverse_count).addcmul_(mean_x, mean_y, value=-1)
        ratio = cov / (var_x * var_y)
        correlation = cov.mul_(ratio)
        ctx.radius_vox = radius_vox
        ctx.save_for_backward(x, y, mean_x, mean_y, var_x, var_y, ratio, correlation, inverse_count)
        return correlation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y, mean_x, mean_y, var_x, var_y, ratio, correlation, inverse_count = ctx.saved_tensors
        # With c = cov^2 / (var_x var_y): dc/dcov = 2 ratio, dc/dvar_x = -c / var_x; and for every window with
        # voxel v, dcov/dx(v) = (y(v) - mean_y) / count, dvar_x/dx(v) = 2 (x(v) - mean_x) / count.
        grad = grad * inverse_count * 2
        by_cov = ratio * grad
        by_cov_sum = _box_sum(by_cov, ctx.radius_vox)

        def gradient(image: Tensor, mean: Tensor, var: Tensor, other: Tensor, other_mean: Tensor) -> Tensor:
            by_var = (correlation / var).mul_(grad)
            constant = (by_var * mean).addcmul_(by_cov, other_mean, value=-1)
            result = _box_sum(constant, ctx.radius_vox).addcmul_(by_cov_sum, other)
            return result.addcmul_(_box_sum(by_var, ctx.radius_vox), image, value=-1)

        grad_x = gradient(x, mean_x, var_x, y, mean_y) if ctx.needs_input_grad[0] else None
        grad_y = gradient(y, mean_y, var_y, x, mean_x) if ctx.needs_input_grad[1] else None
        return grad_x, grad_y, None


def _box_sum(image: Tensor, radius_vox: int) -> Tensor:
    """Sum over a cubic window, cropped to the image, around each voxel (..., H, W, D); a self-adjoint operator.

    Sums shifted slices per axis: faster on a CPU than pooling or convolution, without rounding of cumulative sums.
    """
    for axis in (-1, -2, -3):
        size = image.shape[axis]
        total = image.clone()
        for shift in range(1, min(radius_vox, size - 1) + 1):
            rest = size - shift
            total.narrow(axis, 0, rest).add_(image.narrow(axis, shift, rest))
            total.narrow(axis, shift, rest).add_(image.narrow(axis, 0, rest))
        image = total
    return image
