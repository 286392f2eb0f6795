"""The live status of a cohort: a line for each pair that has ended, as JSON lines and as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from bundle.cohort.row import COLUMNS
from bundle.io import atomic_path

STATUS = "status"  # stem of the files of all shards


class Status:
    """STEM.jsonl, the log of all runs, and STEM.csv, the latest row of every pair; both are written as pairs end.

    Args:
        stem: path without suffix.
        finished: rows of pairs that have a result, from their reports; those without a line get one.
    """

    def __init__(self, stem: Path, finished: Iterable[Mapping[str, Any]] = ()) -> None:
        log, table = stem.with_suffix(".jsonl"), stem.with_suffix(".csv")
        known = {row["name"]: row for row in read_status(log)}
        rows = [{**row, **_of_worker(row, known.get(row["name"], {}))} for row in finished]
        with atomic_path(table) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        self._log = log.open("a", encoding="utf-8")
        self._table = table.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._table, COLUMNS, extrasaction="ignore")
        if log.stat().st_size and not log.read_bytes().endswith(b"\n"):
            self._log.write("\n")  # a line that was cut short
        for row in rows:
            if known.get(row["name"], {}).get("verdict") != row["verdict"]:
                self._append(row)

    def add(self, row: Mapping[str, Any], **more: Any) -> None:
        """Write the row of a pair that has ended. Raises: OSError, of a full disk.

        Args:
            row: columns as in `COLUMNS`.
            more: for the log only.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")  # to read; durations have their own clock
        try:
            self._append({**row, "finished_at": now}, **more)
            self._writer.writerow({**row, "finished_at": now})
            self._table.flush()
        except OSError as error:
            error.filename = self._log.name  # an open file does not say which it is
            raise

    def _append(self, row: Mapping[str, Any], **more: Any) -> None:
        self._log.write(json.dumps({name: row.get(name) for name in COLUMNS} | more) + "\n")
        self._log.flush()

    def __enter__(self) -> Status:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._log, self._table):
            with nullcontext() if error is None else suppress(OSError):  # a full disk has been said
                file.close()


def read_status(log: Path) -> list[dict[str, Any]]:
    """The rows of a log, in their order; lines that were cut short are left out."""
    rows = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "name" in row:
            rows.append(row)
    return rows


def _of_worker(row: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What the log, and no report, says about a pair with a result."""
    is_same = known.get("verdict") == row["verdict"]
    return {name: known.get(name) for name in ("seconds", "worker", "host", "finished_at")} if is_same else {}
