"""LNCC of the fixed and warped scans, the training similarity, as a metric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics.metric import CumulativeIterationMetric
from torch import Tensor

from bundle.losses import LocalCrossCorrelationLoss


class LNCCMetric(CumulativeIterationMetric):
    """Mean squared LNCC of each case, (cases, 1), in [0, 1]; 1 is a perfect match.

    It equals minus `LocalCrossCorrelationLoss`; intensities should be those of the network input. `aggregate` is the
    mean over cases.

    Args:
        window_vox: side of the cubic window.
    """

    def __init__(self, *, window_vox: int = 5) -> None:
        super().__init__()
        self.loss = LocalCrossCorrelationLoss(window_vox=window_vox)

    def _compute_list(
        self, y_pred: Sequence[Tensor], y: Sequence[Tensor] | None = None, mask: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Table (cases, 1) of warped scans `y_pred`, fixed scans `y` and optional masks, each a list of (1, H, W, D).

        Shapes may differ between cases.
        """
        if y is None or len(y_pred) != len(y):
            raise ValueError(f"y: expected the fixed scans of {len(y_pred)} cases, got {None if y is None else len(y)}")
        masks = [None] * len(y) if mask is None else mask
        values = [
            -self.loss(warped[None], fixed[None], mask=None if inside is None else inside[None])
            for warped, fixed, inside in zip(y_pred, y, masks, strict=True)
        ]
        return torch.stack(values)[:, None]

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Table (cases, 1) of scans stacked to (B, 1, H, W, D)."""
        return self._compute_list(list(y_pred), None if y is None else list(y), None if mask is None else list(mask))

    def aggregate(self) -> Tensor:
        """Mean over cases. Raises: ValueError before the first case."""
        table = self.get_buffer()
        if table is None:
            raise ValueError("no case was scored: call the metric before aggregate()")
        return table.mean()
