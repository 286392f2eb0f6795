from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        stride_vox: distance between the centres of the windows; 2 takes every second voxel along each axis, from the
            first one, which is several times faster.
        reduction: "mean" over windows, weighted by the mask at their centres if there is one, or "none".
    Raises: ValueError for an even window, a stride below 1 or another reduction.
    Source: He et al. 2021, eq. 4.
    """

    def __init__(
        self, *, window_vox: int = 5, stride_vox: int = 1, reduction: Literal["mean", "none"] = "mean"
    ) -> None:
        super().__init__()
        if window_vox < 1 or window_vox % 2 == 0:
            raise ValueError(f"window_vox: expected an odd number of voxels, got {window_vox}")
        if stride_vox < 1:
            raise ValueError(f"stride_vox: expected 1 or more voxels, got {stride_vox}")
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction: expected 'mean' or 'none', got {reduction!r}")
        self.window_vox = window_vox
        self.stride_vox = stride_vox
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Loss of two images (B, C, H, W, D) in [0, 1]; `mask`, broadcastable to them, contains weights >= 0.

        Returns: a scalar (0 for an empty mask), or without reduction one value for each window, (B, C, H, W, D) at
            stride 1, multiplied by the mask.
        Raises: ValueError if the images differ in shape.
        """
        if pred.shape != target.shape or pred.dim() != 5:
            raise ValueError(
                f"pred, target: expected one shape (B, C, H, W, D), got {tuple(pred.shape)} and {tuple(target.shape)}"
            )
        dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
        pred, target = _center(pred.to(dtype)), _center(target.to(dtype))
        loss = -_SquaredCorrelation.apply(pred, target, self.window_vox // 2, self.stride_vox)
        if mask is None:
            return loss.mean() if self.reduction == "mean" else loss
        every = slice(None, None, self.stride_vox)
        weights = mask[..., every, every, every].to(dtype).expand_as(loss)
        if self.reduction == "none":
            return loss * weights
        return (loss * weights).sum() / weights.sum().clamp_min(torch.finfo(dtype).tiny)


def _center(image: Tensor) -> Tensor:
    """Subtract the mean of each sample: keeps the LNCC and the precision of var = E[x^2] - E[x]^2."""
    return image - image.detach().mean(dim=(2, 3, 4), keepdim=True)


class _SquaredCorrelation(torch.autograd.Function):
    """cov^2 / (var_x var_y) with an explicit gradient: half the time and two thirds of the memory of autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, radius_vox: int, stride_vox: int) -> Tensor:
        def window_sum(image: Tensor) -> Tensor:
            return _box_sum(image, radius_vox, stride_vox)

        inverse_count = window_sum(x.new_ones((1, 1, *x.shape[2:]))).reciprocal_()
        mean_x = window_sum(x).mul_(inverse_count)
        mean_y = window_sum(y).mul_(inverse_count)

        def floored_variance(image: Tensor, mean: Tensor) -> Tensor:
            variance = window_sum(image * image).mul_(inverse_count).addcmul_(mean, mean, value=-1)
            return variance.clamp_min_(0).add_(VARIANCE_FLOOR)

        var_x, var_y = floored_variance(x, mean_x), floored_variance(y, mean_y)
        cov = window_sum(x * y).mul_(inverse_count).addcmul_(mean_x, mean_y, value=-1)
        ratio = cov / (var_x * var_y)
        correlation = cov.mul_(ratio)
        ctx.radius_vox, ctx.stride_vox = radius_vox, stride_vox
        ctx.save_for_backward(x, y, mean_x, mean_y, var_x, var_y, ratio, correlation, inverse_count)
        return correlation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, y, mean_x, mean_y, var_x, var_y, ratio, correlation, inverse_count = ctx.saved_tensors

        def spread(windows: Tensor) -> Tensor:
            return _spread(windows, ctx.radius_vox, ctx.stride_vox, x.shape)

        # With c = cov^2 / (var_x var_y): dc/dcov = 2 ratio, dc/dvar_x = -c / var_x; and for every window with
        # voxel v, dcov/dx(v) = (y(v) - mean_y) / count, dvar_x/dx(v) = 2 (x(v) - mean_x) / count.
        grad = grad * inverse_count * 2
        by_cov = ratio * grad
        by_cov_sum = spread(by_cov)

        def gradient(image: Tensor, mean: Tensor, var: Tensor, other: Tensor, other_mean: Tensor) -> Tensor:
            by_var = (correlation / var).mul_(grad)
            constant = (by_var * mean).addcmul_(by_cov, other_mean, value=-1)
            result = spread(constant).addcmul_(by_cov_sum, other)
            return result.addcmul_(spread(by_var), image, value=-1)

        grad_x = gradient(x, mean_x, var_x, y, mean_y) if ctx.needs_input_grad[0] else None
        grad_y = gradient(y, mean_y, var_y, x, mean_x) if ctx.needs_input_grad[1] else None
        return grad_x, grad_y, None, None


def _box_sum(image: Tensor, radius_vox: int, stride_vox: int) -> Tensor:
    """Sum over a cubic window, cropped to the image, around every `stride_vox`-th voxel of (..., H, W, D).

    Sums shifted slices per axis: faster on a CPU than pooling or convolution, without rounding of cumulative sums.
    """
    for axis in (-3, -2, -1):  # the stride along the first axis leaves the voxels of the others contiguous
        total = _along(image, axis, slice(None, None, stride_vox)).clone()
        for windows, voxels in _shifts(image.shape[axis], radius_vox, stride_vox):
            _along(total, axis, windows).add_(_along(image, axis, voxels))
        image = total
    return image


def _spread(windows: Tensor, radius_vox: int, stride_vox: int, shape: Sequence[int]) -> Tensor:
    """The adjoint of `_box_sum`: add the value of each window to its voxels, giving (..., *shape[-3:])."""
    for axis in (-1, -2, -3):
        sides = list(windows.shape)
        sides[axis] = shape[axis]
        total = windows.new_zeros(sides)
        _along(total, axis, slice(None, None, stride_vox)).copy_(windows)
        for some, voxels in _shifts(shape[axis], radius_vox, stride_vox):
            _along(total, axis, voxels).add_(_along(windows, axis, some))
        windows = total
    return windows


def _along(volume: Tensor, axis: int, part: slice) -> Tensor:
    """A view of a part of (..., H, W, D) along one of the last three axes, -3 to -1."""
    return volume.movedim(axis, 0)[part].movedim(0, axis)


def _shifts(size: int, radius_vox: int, stride_vox: int) -> Iterator[tuple[slice, slice]]:
    """For each neighbour along an axis but the centre itself: the windows that have it, and its voxels."""
    last_window = (size - 1) // stride_vox
    for shift in range(-radius_vox, radius_vox + 1):
        first, last = max(0, -(shift // stride_vox)), min(last_window, (size - 1 - shift) // stride_vox)
        if shift != 0 and first <= last:
            voxel = first * stride_vox + shift
            yield slice(first, last + 1), slice(voxel, last * stride_vox + shift + 1, stride_vox)
