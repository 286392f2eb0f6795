"""TRE tables of a set of pairs in CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bundle.io.atomic import atomic_path
from bundle.reports.case_score import CaseScore, Weights
from bundle.reports.markdown import markdown_table
from bundle.reports.published import copdgene_numbers, published_rows

SIGNIFICANT_DIGITS = 6
RULES: dict[str, str] = {
    "tre": "Continuous: distance from the mapped point.",
    "snapped_tre": "Snapped: mapped point rounded to the nearest voxel of the moving scan (DIR-Lab's rule).",
}


def summarize_cases(scores: Sequence[CaseScore]) -> dict[str, dict[str, float]]:
    """`mean` and population `std` of every number of `CaseScore.row`, over the cases with a value."""
    summary: dict[str, dict[str, float]] = {"mean": {}, "std": {}}
    rows = [score.row() for score in scores]
    for key in rows[0] if rows else []:
        values = [float(row[key]) for row in rows if not isinstance(row[key], str) and not math.isnan(float(row[key]))]
        if values:
            mean = math.fsum(values) / len(values)
            summary["mean"][key] = mean
            summary["std"][key] = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return summary


def format_number(value: str | float | None, digits: int = 2) -> str:
    """Format `value` with `digits` decimals; a dash for None and NaN."""
    return "–" if value is None or math.isnan(float(value)) else f"{float(value):.{digits}f}"


def write_tre_report(directory: Path, scores: Sequence[CaseScore]) -> None:
    """Write `tre.csv`, `tre.json` and `tre.md` to an existing directory.

    Args:
        directory: existing.
        scores: one per pair. If all cases are named copd1 ... copd10 (DIR-Lab COPDgene), published rows are added.
    Raises: ValueError if `scores` is empty.
    """
    if not scores:
        raise ValueError("scores: expected at least one case, got none")
    rows = [{key: _plain(value) for key, value in score.row().items()} for score in scores]
    with atomic_path(directory / "tre.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    summary = {
        name: {key: _plain(value) for key, value in values.items()} for name, values in summarize_cases(scores).items()
    }
    with atomic_path(directory / "tre.json") as path:
        path.write_text(json.dumps({"weights": _weights_of(scores), "cases": rows, **summary}, indent=2) + "\n")
    with atomic_path(directory / "tre.md") as path:
        path.write_text(tre_markdown(scores), encoding="utf-8")


def tre_markdown(scores: Sequence[CaseScore]) -> str:
    """The report in Markdown."""
    parts = ["# Target registration error", "", _weights_note(scores), ""]
    for prefix, rule in RULES.items():
        parts += [f"{rule} In mm; ± is the standard deviation.", "", *markdown_table(*_case_table(scores, prefix)), ""]
    numbers = copdgene_numbers([score.name for score in scores])
    if numbers is not None:
        parts += [
            "DIR-Lab COPDgene, snapped mean TRE, mm; published rows below ours, with their mean over the cases shown.",
            "",
            *markdown_table(*_published_table(scores, numbers)),
            "",
        ]
    return "\n".join(parts)


def _weights_of(scores: Sequence[CaseScore]) -> Weights | Literal["mixed"]:
    """What the weights are to all cases."""
    kinds = {score.weights for score in scores}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _weights_note(scores: Sequence[CaseScore]) -> str:
    trained = ", ".join(score.name for score in scores if score.trained_on)
    notes = {
        "transductive": "**transductive**, trained on the pairs evaluated here (without their landmarks).",
        "held out": "**held out**, none of the pairs evaluated here was used for training.",
        "unknown": "it is unknown which pairs they were trained on.",
        "mixed": f"**mixed**, trained on {trained}; the other pairs were not used for training.",
    }
    return f"Weights: {notes[_weights_of(scores)]}"


def _case_table(scores: Sequence[CaseScore], prefix: str) -> tuple[list[str], list[list[str]]]:
    header = ["case", "landmarks", "none", "aligned", "registered", "median", "p95", "folding %", "SDlogJ", "time, s"]
    body = []
    for score in scores:
        row = score.row()
        body.append(
            [
                score.name,
                str(row["landmarks"]),
                *[format_number(row[f"{prefix}_{stage}_mm"]) for stage in ("none", "aligned")],
                f"{format_number(row[f'{prefix}_mm'])} ± {format_number(row[f'{prefix}_std_mm'])}",
                *[format_number(row[f"{prefix}_{statistic}_mm"]) for statistic in ("median", "p95")],
                format_number(row["folding_percent"], 4),
                format_number(row["sd_log_jacobian"], 3),
                format_number(row["time_s"], 1),
            ]
        )
    summary = summarize_cases(scores)
    keys = [f"{prefix}_{end}mm" for end in ("none_", "aligned_", "", "median_", "p95_")]
    decimals = dict.fromkeys(keys, 2) | {"folding_percent": 4, "sd_log_jacobian": 3, "time_s": 1}
    means = [
        f"{format_number(summary['mean'].get(key), digits)} ± {format_number(summary['std'].get(key), digits)}"
        for key, digits in decimals.items()
    ]
    total = sum(int(score.continuous.registered.landmarks) for score in scores)
    body.append([f"mean ± std over {len(scores)} cases", str(total), *means])
    return header, body


def _published_table(scores: Sequence[CaseScore], numbers: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    mean = summarize_cases(scores)["mean"]
    ours = {
        "ours, without registration": "snapped_tre_none_mm",
        "ours, aligned": "snapped_tre_aligned_mm",
        f"**ours, registered ({_weights_of(scores)})**": "snapped_tre_mm",
    }
    lines = {label: [*[score.row()[key] for score in scores], mean.get(key)] for label, key in ours.items()}
    lines |= {method: list(values) for method, values in published_rows(numbers).items()}
    body = [[label, *[format_number(value) for value in values]] for label, values in lines.items()]
    return ["", *[score.name for score in scores], "mean"], body


def _plain(value: str | float) -> str | float | None:
    """Convert a number for JSON and CSV: `SIGNIFICANT_DIGITS` digits, None for NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value
