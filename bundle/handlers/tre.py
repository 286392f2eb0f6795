"""Ignite handler of the target registration error."""

from __future__ import annotations

from typing import Any

import torch

from bundle.handlers.case_metric import Case, CaseMetricHandler
from bundle.metrics import TargetRegistrationErrorMetric


class TargetRegistrationError(CaseMetricHandler):
    """Mean over cases of each case's mean TRE, mm; `state.metric_details` holds the per-case table (cases, 6).

    Args:
        points: key of the points (N, 3), RAS mm, to compare with `moving_landmarks`: `mapped_landmarks`, or the
            baselines `aligned_landmarks` and `fixed_landmarks`. Cases without landmarks give a row of NaN.
        snapped: whether to round the points to voxels of `moving_affine` (4, 4) first, as DIR-Lab does.
    """

    def __init__(self, *, points: str = "mapped_landmarks", snapped: bool = False) -> None:
        super().__init__(metric_fn=TargetRegistrationErrorMetric())
        self.points = points
        self.snapped = snapped

    def arguments(self, case: Case) -> dict[str, Any]:
        """Mapped and moving landmarks of a case."""
        none = torch.zeros(0, 3)
        has_landmarks = "moving_landmarks" in case and "fixed_landmarks" in case
        return {
            "y_pred": [case[self.points] if has_landmarks else none],
            "y": [case["moving_landmarks"] if has_landmarks else none],
            "moving_affine": [case["moving_affine"]] if self.snapped else None,
        }
