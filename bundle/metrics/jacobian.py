"""Regularity of a transform from its Jacobian determinant (`bundle.geometry.jacobian_determinant`) inside a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from monai.metrics.metric import CumulativeIterationMetric
from torch import Tensor

LOG_RANGE = (1e-9, 1e9)  # determinants are clipped to this before the logarithm, as Learn2Reg does


def folding_percent(jacobian: Tensor, mask: Tensor) -> float:
    """Percentage of the mask's voxels where the transform folds (determinant <= 0).

    Args:
        jacobian: determinant of the whole transform (identity: 1), any shape.
        mask: same shape, non-zero inside.
    Raises: ValueError if the shapes differ or the mask is empty.
    """
    inside = _inside(jacobian, mask)
    return 100.0 * int((inside <= 0).sum()) / inside.numel()


def sd_log_jacobian(jacobian: Tensor, mask: Tensor) -> float:
    """Population standard deviation of the log determinant over the mask (SDlogJ); 0 for every affine transform.

    Folded voxels count as log(1e-9), so that folding cannot lower the value. Learn2Reg's published script adds 3 to the
    determinant first; this function does not. Arguments and errors as in `folding_percent`.
    """
    return float(_inside(jacobian, mask).clamp(*LOG_RANGE).log().std(correction=0))


STATISTICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "folding_percent": folding_percent,
    "sd_log_jacobian": sd_log_jacobian,
}


class JacobianMetric(CumulativeIterationMetric):
    """One of the statistics above for each case, (cases, 1); `aggregate` is the mean over cases.

    `y_pred`: determinants (1, H, W, D) of each case; `y`: masks of the same shape.
    Raises: ValueError for an unknown statistic.
    """

    def __init__(self, *, statistic: Literal["folding_percent", "sd_log_jacobian"]) -> None:
        super().__init__()
        if statistic not in STATISTICS:
            raise ValueError(f"statistic: expected one of {sorted(STATISTICS)}, got {statistic!r}")
        self.statistic = STATISTICS[statistic]

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            raise ValueError("y: expected the mask of each case, got None")
        values = [self.statistic(jacobian, mask) for jacobian, mask in zip(y_pred, y, strict=True)]
        return torch.tensor(values, dtype=torch.float64)[:, None]

    def aggregate(self) -> Tensor:
        """Mean over cases. Raises: ValueError before the first case."""
        table = self.get_buffer()
        if table is None:
            raise ValueError("no case was scored: call the metric before aggregate()")
        return table.mean()


def _inside(jacobian: Tensor, mask: Tensor) -> Tensor:
    if jacobian.shape != mask.shape:
        raise ValueError(f"mask: expected the Jacobian's shape {tuple(jacobian.shape)}, got {tuple(mask.shape)}")
    inside = jacobian[mask > 0].double()
    if inside.numel() == 0:
        raise ValueError("mask: expected at least one voxel inside, got none")
    return inside
