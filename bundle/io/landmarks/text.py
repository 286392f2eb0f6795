"""Text files in any usual encoding, and numbers in them."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

BYTE_ORDER_MARKS = {  # the longer ones first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
DELIMITERS = (",", ";", "\t")
SEPARATOR = re.compile(r"[\s,;]+")
UNDEFINED = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}  # bytes that only Latin-1 defines, as in browsers
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # not in any text

Row = tuple[int, Sequence[str]]  # line number and its three numbers, as text


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, UTF-16 or UTF-32 with a byte order mark, or Windows-1252.

    Raises: ValueError if it is not a text file.
    """
    content = path.read_bytes()
    marked = next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    text: str | None
    try:
        text = content.decode(marked or "utf-8")
    except UnicodeDecodeError:
        text = None if marked else content.decode("cp1252", "surrogateescape").translate(UNDEFINED)
    if text is None or CONTROL.search(text):
        raise ValueError(f"{path}: not a text file: expected text in UTF-8, Windows-1252 or UTF-16")
    return text


def lines_of(path: Path) -> list[tuple[int, str]]:
    """Lines that hold more than separators, with their numbers; white space around them is kept: tabs are columns."""
    return [(number, line) for number, line in enumerate(read_text(path).splitlines(), 1) if SEPARATOR.sub("", line)]


def split_cells(line: str) -> list[str]:
    """The cells of a line between white space, commas and semicolons; commas may be decimal ones, texts be quoted."""
    if '"' in line:
        return split_at(" ", re.sub(r"\s+", " ", line))
    cells = re.split(r"[\s;]+", line.strip(" \t;"))
    has_decimals = len(cells) > 2 and any(map(DECIMAL_COMMA.fullmatch, cells))
    return cells if has_decimals else SEPARATOR.split(line.strip(" \t,;"))


def split_at(delimiter: str, line: str) -> list[str]:
    """The cells of a line of a csv table. Raises: csv.Error."""
    (cells,) = csv.reader([line.strip(" ")], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in cells]


def split_point(line: str) -> list[str]:
    """The cells of a line at the separator between which it holds three numbers, else at every separator."""
    for delimiter in DELIMITERS:
        cells = split_at(delimiter, line)
        if sum(map(is_number, cells)) == 3:
            return cells
    return split_cells(line)


def number_of(text: str) -> float | None:
    """The number that a text is, also nan or inf, with a decimal point or comma; None for another text."""
    if "_" in text:  # digits grouped as in Python, which no landmark file does
        return None
    try:
        return float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None


def is_comment(line: str) -> bool:
    """Whether a line at the top of a table is a comment; `#1 10 20 30` is a point."""
    return line.lstrip().startswith("#") and sum(map(is_number, split_cells(line))) < 3


def is_number(text: str) -> bool:
    """Whether `number_of` reads a text."""
    return number_of(text) is not None


def to_points(path: Path, rows: Sequence[Row], what: str = "line") -> Tensor:
    """Numbers (N, 3), float64. Raises: ValueError with the line of a row that is not three finite numbers."""
    if not rows:
        raise ValueError(f"{path}: no landmarks in this file")
    points = []
    for number, cells in rows:
        if len(cells) != 3:
            raise ValueError(f"{path}, {what} {number}: expected 3 coordinates, got {len(cells)}")
        values = [value for cell in cells if (value := number_of(cell)) is not None and math.isfinite(value)]
        if len(values) != 3:
            raise ValueError(f"{path}, {what} {number}: expected 3 numbers, got {' '.join(map(str, cells))!r}")
        points.append(values)
    return torch.tensor(points, dtype=torch.float64)
