"""Pairs in a table with named columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.data import FILE_KEYS, OPTION_KEYS, resolve_pairs
from bundle.io import atomic_path

REQUIRED = ("name", "fixed", "moving")
COLUMNS = (*REQUIRED, *(key for key in (*FILE_KEYS, *OPTION_KEYS) if key not in REQUIRED))
NOTES = ("fixed_lungs_ml", "moving_lungs_ml", "note")  # for people: written by `write_table`, not read
DELIMITERS = ",;\t"


def read_table(file: Path) -> list[dict[str, str]]:
    """The pairs of a CSV or TSV file; paths are relative to it, and need not exist.

    Columns are `name` and the fields of `bundle.data.PairFiles`, in any order; empty cells are not given. The columns
    of `NOTES` are for people.

    Raises: ValueError naming the file and the line or column that is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected a table in UTF-8: {error}") from error
    lines = io.StringIO(text, newline="")  # other characters that end a line somewhere are part of a cell
    delimiter = max(DELIMITERS, key=lines.readline().count)
    lines.seek(0)
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    columns = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"{file}: expected the columns {', '.join(REQUIRED)}, missing {', '.join(missing)}")
    for name in columns:
        if name not in (*COLUMNS, *NOTES) or columns.count(name) > 1:
            what = "twice" if columns.count(name) > 1 else f"expected some of {', '.join(COLUMNS)}"
            raise ValueError(f"{file}: column {name!r}: {what}")
    reader.fieldnames = columns
    items = []
    try:
        for row in reader:
            where = f"{file}, line {reader.line_num}"
            if None not in row and not "".join(filter(None, row.values())).strip():
                continue  # nothing but blanks
            if None in row or None in row.values():
                raise ValueError(f"{where}: expected {len(columns)} cells, as in the first line")
            cells = {key: value.strip() for key, value in row.items() if key in COLUMNS and value.strip()}
            if cells:
                items.append((where, cells))
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: unreadable: {error}") from error
    if not items:
        raise ValueError(f"{file}: no pairs in this table")
    return resolve_pairs(items, file, missing_ok=True)


def write_table(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write pairs, with what `NOTES` says about them, as a table that `read_table` reads."""
    used = [name for name in (*COLUMNS, *NOTES) if name in REQUIRED or any(row.get(name) for row in rows)]
    with atomic_path(file) as path, path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, used, restval="")
        writer.writeheader()
        writer.writerows(rows)
