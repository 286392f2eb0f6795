"""Ignite handler of the LNCC."""

from __future__ import annotations

from typing import Any

from bundle.handlers.case_metric import Case, CaseMetricHandler
from bundle.metrics import LNCCMetric


class LNCC(CaseMetricHandler):
    """Mean over cases of the mean squared LNCC; needs no landmarks.

    Args:
        warped, fixed: keys of the scans (1, H, W, D) on one grid. The key of the moving scan instead of `warped` gives
            the value before registration.
        mask: key of the mask on the same grid; the whole image if None.
        window_vox: side of the cubic window.
    """

    def __init__(
        self, *, warped: str = "warped", fixed: str = "fixed", mask: str | None = None, window_vox: int = 5
    ) -> None:
        super().__init__(metric_fn=LNCCMetric(window_vox=window_vox))
        self.warped = warped
        self.fixed = fixed
        self.mask = mask

    def arguments(self, case: Case) -> dict[str, Any]:
        """Warped and fixed scan of a case, and its mask."""
        mask = None if self.mask is None else [case[self.mask]]
        return {"y_pred": [case[self.warped]], "y": [case[self.fixed]], "mask": mask}
