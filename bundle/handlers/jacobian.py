"""Ignite handler of Jacobian statistics."""

from __future__ import annotations

from typing import Any, Literal

from bundle.handlers.case_metric import Case, CaseMetricHandler
from bundle.metrics import JacobianMetric


class JacobianStatistic(CaseMetricHandler):
    """Mean over cases of the folding percentage or SDlogJ.

    Args:
        statistic: the statistic to compute.
        jacobian, mask: keys of the determinant (1, H, W, D) and of the mask on its grid.
    """

    def __init__(
        self,
        *,
        statistic: Literal["folding_percent", "sd_log_jacobian"],
        jacobian: str = "jacobian",
        mask: str = "fixed_mask",
    ) -> None:
        super().__init__(metric_fn=JacobianMetric(statistic=statistic))
        self.jacobian = jacobian
        self.mask = mask

    def arguments(self, case: Case) -> dict[str, Any]:
        """Jacobian determinant and mask of a case."""
        return {"y_pred": [case[self.jacobian]], "y": [case[self.mask]]}
