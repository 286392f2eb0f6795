"""Calibrate the verdict: register good pairs and deliberate failures, and keep the evidence of each as a CSV row."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from scripts.cli import quiet, run

log = logging.getLogger(__name__)
SEPARATOR = "; "


def calibrate(output: str = "docs/benchmarks/verdict.csv", data: str | None = None) -> None:
    """Register all cases with the default settings and write one row each to OUTPUT.

    Finished rows keep their evidence and are judged again, so a change of the rules takes seconds.

    Args:
        output: CSV file with name, kind, verdict, reasons and evidence.
        data: folder of real scans (followup_pair, 4dct, ct); phantoms only without it.
    """
    from tqdm import tqdm

    from bundle.reports.markdown import markdown_table
    from scripts.calibration.cases import list_cases
    from scripts.calibration.table import kinds_table

    quiet()
    path = Path(output)
    rows = [judge_row(row) for row in read_rows(path)] if path.exists() else []
    done = {row["name"] for row in rows}
    for case in tqdm(list(list_cases(Path(data) if data else None)), unit="pair"):
        if case.name not in done:
            rows.append(judge_row({"name": case.name, "kind": case.kind, **_register(case.scans())}))
        _write_rows(path, rows)
    header, *body = kinds_table(rows)
    log.info("%s", "\n".join(markdown_table(header, body)))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a calibration."""
    import csv

    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def judge_row(row: dict[str, str]) -> dict[str, str]:
    """A row with the verdict that its evidence gets today; refused pairs have none."""
    from bundle.quality import Evidence, judge

    if row.get("verdict") == "refused":
        return row
    evidence = Evidence(**{field.name: float(row[field.name]) for field in dataclasses.fields(Evidence)})
    verdict = judge(evidence, dict.fromkeys(filter(None, row["signs"].split(SEPARATOR)), "check"))
    return {**row, "verdict": verdict.level, "reasons": SEPARATOR.join(verdict.reasons)}


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    import csv

    from bundle.io.atomic import atomic_path
    from bundle.quality import Evidence

    columns = ["name", "kind", "verdict", "reasons", "signs", *(field.name for field in dataclasses.fields(Evidence))]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _register(scans: tuple[Any, Any]) -> dict[str, str]:
    """Signs and evidence of one pair, or why it is refused."""
    from bundle.refusals import reason_of
    from bundle.register import register_pair

    try:
        pair = register_pair(*scans).pair
    except Exception as error:
        reason = reason_of(error)
        if reason is None:
            raise
        return {"verdict": "refused", "reasons": reason}
    evidence = {key: f"{value:.6g}" for key, value in dataclasses.asdict(pair["evidence"]).items()}
    return {"signs": SEPARATOR.join(pair.get("implausible") or []), **evidence}


if __name__ == "__main__":
    run(calibrate)
