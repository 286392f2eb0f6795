"""Assess one registered pair."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform

from bundle.quality.evidence import examine
from bundle.quality.verdict import judge


class AssessRegistrationd(Transform):
    """Add `evidence` (`Evidence`), `residuals` (`Residuals`) and `verdict` (`Verdict`), after `ScoreRegistrationd`.

    Implausible headers and intensities (`implausible`) are reasons to check a result.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        pair["evidence"], pair["residuals"] = examine(pair)
        pair["verdict"] = judge(pair["evidence"], dict.fromkeys(pair.get("implausible") or [], "check"))
        return pair
