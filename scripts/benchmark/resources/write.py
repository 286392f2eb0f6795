"""Write what was measured, as CSV and as Markdown."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.io import atomic_path


def write_rows(stem: Path, rows: Sequence[Any], markdown: str, *, numbers: str) -> None:
    """Write `stem`.csv, a line for each row with the names of its fields above, and `stem`.md.

    After every run: a measurement that is stopped keeps what it has.

    Args:
        stem: in an existing folder.
        rows: named tuples of one kind, at least one.
        markdown: content of the second file.
        numbers: format of what is no whole number, such as ".3f".
    """
    with atomic_path(stem.with_suffix(".csv")) as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0]._fields)
        writer.writerows([f"{cell:{numbers}}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    with atomic_path(stem.with_suffix(".md")) as path:
        path.write_text(markdown, encoding="utf-8")
