"""What the status says about a pair: one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "name",
    "verdict",
    "seconds",
    "tre_mm",
    "lncc",
    "folding_percent",
    "worker",
    "host",
    "reason",
    "finished_at",
)
NOT_REGISTERED = "not registered"  # a verdict beside those of `bundle.quality`: there is no result


def row_of_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report.json."""
    scores = report["scores"]
    return {
        "name": report["name"],
        "verdict": report["verdict"],
        "seconds": scores["time_s"],
        "tre_mm": scores["tre_mm"],
        "lncc": report["lncc"]["registered"],
        "folding_percent": scores["folding_percent"],
        "reason": "; ".join(report["reasons"]),
    }


def row_of_failure(name: str, reason: str, seconds: float) -> dict[str, Any]:
    """The row of a pair without a result."""
    return {"name": name, "verdict": NOT_REGISTERED, "seconds": seconds, "reason": reason}
