"""The summary of a registered pair that ends a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

STEPS = {"InstanceOptimization": "instance optimisation", "NetworkFineTuning": "fine-tuning", "Network": "network"}


def summarize_report(report: Mapping[str, Any], folder: Path) -> str:
    """Summarise a report in a few lines, with the location of its files; the last line is the verdict.

    Args:
        report: see `registration_report`.
        folder: with the files of the pair.
    """
    scores, lncc, seconds = report["scores"], report["lncc"], report["seconds_by_step"]
    steps = ", ".join(f"{label} {seconds[step]:.1f} s" for step, label in STEPS.items() if step in seconds)
    lines = {"LNCC": f"{lncc['aligned']:.3f} after the initial alignment, {lncc['registered']:.3f} registered"}
    if scores["tre_mm"] is not None:
        lines["TRE"] = (
            f"{scores['tre_none_mm']:.2f} mm without registration, {scores['tre_aligned_mm']:.2f} mm aligned, "
            f"{scores['tre_mm']:.2f} mm registered ({scores['landmarks']} landmarks)"
        )
    lines["folding"] = f"{scores['folding_percent']:.3f} % of the lung voxels; SDlogJ {scores['sd_log_jacobian']:.3f}"
    lines["time"] = f"{scores['time_s']:.1f} s ({steps})"
    warnings = [warning for warning in report["warnings"] if warning not in report["reasons"]]
    if warnings:
        lines["warnings"] = "; ".join(warnings)
    lines["files"] = f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}"
    lines["verdict"] = ": ".join([report["verdict"], *(["; ".join(report["reasons"])] if report["reasons"] else [])])
    return "\n".join([report["name"], *(f"  {label:<9}{text}" for label, text in lines.items())])
