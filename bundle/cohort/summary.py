"""The end of a cohort, index and summary: how many pairs ended how, and how their figures are distributed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bundle.cohort.row import NOT_REGISTERED
from bundle.cohort.status import STATUS, read_status
from bundle.data.pairs_to_register import REPORT
from bundle.io import atomic_path
from bundle.quality import write_verdicts
from bundle.quality.verdict import WORST_FIRST
from bundle.reports.html import write_index
from bundle.reports.markdown import markdown_table

log = logging.getLogger(__name__)

STEM = "summary"
FIGURES = {
    "seconds": "time of a pair, s",
    "tre_mm": "TRE, mm",
    "lncc": "LNCC",
    "folding_percent": "folding, %",
}
PERCENTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
MAX_REASONS = 20
BINS = 40
DPI = 110


def finish(folder: Path, names: Collection[str]) -> bool:
    """Write index, verdicts and summary of all that is in a folder; whether a pair has failed, or has no result.

    Args:
        names: of the list, of which those without a result are reported; of others, a failure is history.
    """
    rows: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob(f"{STATUS}*.jsonl")):  # of all shards
        for row in read_status(file):
            has_result = (folder / row["name"] / REPORT).is_file()
            if has_result == (row["verdict"] != NOT_REGISTERED) and (has_result or row["name"] in names):
                rows[row["name"]] = row
    missing = {name: str(row["reason"]) for name, row in rows.items() if row["verdict"] == NOT_REGISTERED}
    summary = write_summary(folder, list(rows.values()))
    log.info("%s", summary_markdown(summary))
    if rows:
        log.info("%s: written", write_index(folder, missing))
    has_failed = write_verdicts([], folder)
    return has_failed or bool(missing)


def write_summary(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write summary.json, summary.md and summary.png, with histograms; returns the content of the first.

    Args:
        rows: the latest of every pair, see `bundle.cohort.row`.
    """
    summary = summarize(rows)
    with atomic_path(folder / f"{STEM}.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / f"{STEM}.md") as path:
        path.write_text(summary_markdown(summary), encoding="utf-8")
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (key, label) in zip(figure.subplots(1, len(FIGURES)), FIGURES.items(), strict=True):
        axes.hist(_values(rows, key), bins=BINS)
        axes.set(xlabel=label, ylabel="pairs")
    with atomic_path(folder / f"{STEM}.png") as path:
        figure.savefig(path, dpi=DPI, format="png")
    return summary


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of verdicts, the most frequent reasons, and the distribution of each figure over the pairs with one."""
    counts = Counter(row["verdict"] for row in rows)
    verdicts = {verdict: counts[verdict] for verdict in (NOT_REGISTERED, *WORST_FIRST)}
    reasons = {
        verdict: dict(Counter(row["reason"] for row in rows if row["verdict"] == verdict).most_common(MAX_REASONS))
        for verdict in (NOT_REGISTERED, "failed")
    }
    distributions = {key: _distribution(_values(rows, key)) for key in FIGURES}
    return {"pairs": len(rows), "verdicts": verdicts, "reasons": reasons, "distributions": distributions}


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as two tables, and the reasons."""
    lines = markdown_table(["verdict", "pairs"], [[name, str(count)] for name, count in summary["verdicts"].items()])
    columns = ["pairs", "mean", "sd", *PERCENTILES]
    cells = [
        [FIGURES[key], *(f"{values[name]:.4g}" if values["pairs"] else "–" for name in columns)]
        for key, values in summary["distributions"].items()
    ]
    lines += ["", *markdown_table(["figure", *columns], cells)]
    for verdict, reasons in summary["reasons"].items():
        if reasons:
            lines += ["", f"{verdict}:", "", *(f"- {count} × {reason}" for reason, count in reasons.items())]
    return "\n".join([*lines, ""])


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """The figures of pairs with a result."""
    there = [row.get(key) for row in rows if row["verdict"] != NOT_REGISTERED]
    return np.array([value for value in there if value is not None], dtype=np.float64)


def _distribution(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {"pairs": 0}
    figures = {"pairs": len(values), "mean": float(values.mean()), "sd": float(values.std())}
    return figures | {name: float(np.percentile(values, share)) for name, share in PERCENTILES.items()}
