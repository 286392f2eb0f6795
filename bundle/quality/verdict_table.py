"""The verdicts on all pairs of a run."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.pairs_to_register import REPORT
from bundle.io.atomic import atomic_path
from bundle.quality.verdict import WORST_FIRST
from bundle.refusals import FAILED, is_monai_command

log = logging.getLogger(__name__)

TABLE_FILE = "verdicts.csv"
COLUMNS = ("verdict", "name", "reasons")


def write_verdicts(pairs: Sequence[Mapping[str, str]], output_dir: str | Path) -> bool:
    """End a run with its verdict as the last line; many pairs are listed in `verdicts.csv`, the worst ones first.

    The table holds every pair that has a report in the folder, also those of earlier runs.

    Args:
        pairs: of the run, each with its folder `output_dir`.
        output_dir: of the run; a single pair writes there itself.
    Returns: whether a pair has failed.
    """
    folder = Path(output_dir)
    if [Path(pair["output_dir"]) for pair in pairs] == [folder]:
        row = _row(folder)
        log.info("verdict on %s: %s", row["name"], ": ".join(filter(None, [row["verdict"], row["reasons"]])))
        return bool(row["verdict"] == "failed")
    rows = [_row(path.parent) for path in sorted(folder.glob(f"*/{REPORT}"))]
    with atomic_path(folder / TABLE_FILE) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: WORST_FIRST.index(row["verdict"])))
    counts = {level: sum(row["verdict"] == level for row in rows) for level in WORST_FIRST}
    text = ", ".join(f"{count} {level}" for level, count in counts.items())
    log.info("%s: verdicts on %d pairs: %s", folder / TABLE_FILE, len(rows), text)
    return counts["failed"] > 0


def end_with_verdicts(pairs: Sequence[Mapping[str, str]], output_dir: str | Path) -> None:
    """`write_verdicts` in configs; `python -m monai.bundle run` ends with exit code 3 if a pair has failed."""
    if write_verdicts(pairs, output_dir) and is_monai_command():
        raise SystemExit(FAILED)


def _row(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / REPORT).read_text())
    return {"verdict": report["verdict"], "name": report["name"], "reasons": "; ".join(report["reasons"])}
