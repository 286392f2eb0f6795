"""Landmark files as tables: numbers, names and what the file states about the coordinates.

| file                                          | coordinates                                                        |
|-----------------------------------------------|--------------------------------------------------------------------|
| 3D Slicer `.mrk.json`, `.fcsv`                | mm, LPS or RAS as the file states (numbers: 0 is RAS, 1 is LPS)     |
| 3D Slicer tables: label,l,p,s or label,r,a,s  | mm, LPS or RAS                                                     |
| elastix `.txt`, `point` or `index`            | LPS mm, or voxel indices, 0-based                                  |
| transformix `outputpoints.txt`                | the column OutputPoint, LPS mm: the points after the transform     |
| tables of ANTs: x,y,z,t                       | LPS mm                                                             |
| tables with x,y,z                             | LPS mm, unless the values fit voxel indices as well                |
| rows of three numbers, tables with i,j,k      | not stated, except by DIR-Lab's file names (voxel indices, 1-based) |

Tables are `.csv`, `.tsv`, `.txt`, `.dat` or without a suffix, separated by commas, semicolons, tabs or spaces.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path

from torch import Tensor

from bundle.io.landmarks.points import Names
from bundle.io.landmarks.system import SYSTEM_HINT, LandmarkSystem
from bundle.io.landmarks.text import (
    DELIMITERS,
    Row,
    is_comment,
    is_number,
    lines_of,
    read_text,
    split_at,
    split_cells,
    split_point,
    to_points,
)

FORMATS = "DIR-Lab .txt, elastix .txt, 3D Slicer .mrk.json, .fcsv or .csv, or a table with a header x,y,z"
SLICER_SYSTEMS: dict[str, LandmarkSystem] = {"RAS": "ras", "0": "ras", "LPS": "lps", "1": "lps"}  # numbers: old files
DIRLAB_NAME = re.compile(r"dir-?lab|(copd|case)\d+_\d+_(ibh|ebh|t\d\d)_xyz|_xyz_r\d", re.IGNORECASE)
AXES = ("lps", "ras", "xyz", "ijk")
OUTPUT_POINT = re.compile(r"\bOutputPoint\s*=\s*\[([^\]]*)\]")
FALSE = ("0", "false")
TABLES = (".csv", ".tsv", ".txt", ".dat", "")
LABELS, DESCRIPTIONS = ("label", "name", "id"), ("description", "comment")  # columns, the first of them that there is
UNITS = ("mm", "millimeter", "millimetre")


@dataclass(frozen=True)
class Table:
    """The points of a file, in its own coordinates.

    Args:
        values: (N, 3) float64.
        names, left_out: as of `Landmarks`.
        stated: coordinates that the file states.
        usual: coordinates that such files usually have, to be confirmed by the values; None: unknown.
    """

    values: Tensor
    names: Names = ()
    left_out: tuple[int, ...] = ()
    stated: LandmarkSystem | None = None
    usual: LandmarkSystem | None = None


def read_table(path: Path, *, any_suffix: bool) -> Table:
    """Read a landmark file; `any_suffix`: take a file with an unknown suffix for rows of three numbers.

    Raises: ValueError: unknown format; no landmarks; a row without three numbers (with its line).
    """
    name = path.name.lower()
    if name.endswith(".json"):
        return _slicer_json(path)
    try:
        if name.endswith(".fcsv"):
            return _fcsv(path)
        if path.suffix.lower() in TABLES or any_suffix or _states_elastix(path):
            return _text(path, any_suffix)
    except csv.Error as error:
        raise ValueError(f"{path}: not a csv table: {error}") from error
    raise ValueError(f"{path}: unknown landmark format, expected {FORMATS}; for rows of three numbers {SYSTEM_HINT}")


def _states_elastix(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(16).strip() in (b"point", b"index")


def _text(path: Path, any_columns: bool) -> Table:
    lines = lines_of(path)
    first = lines[0][1] if lines else ""
    keyword = first.strip().lower()
    if OUTPUT_POINT.search(first):
        rows = [(number, match[1].split() if (match := OUTPUT_POINT.search(line)) else []) for number, line in lines]
        return Table(to_points(path, rows), stated="lps")
    if keyword in ("point", "index"):
        return _elastix(path, keyword, lines)
    lines = list(dropwhile(lambda row: is_comment(row[1]), lines))
    if table := _split_table(lines):
        return _columns(path, table)
    rows = [(number, split_point(line)) for number, line in lines]
    is_txt = path.suffix.lower() == ".txt"
    if rows and not ((any_columns or is_txt) and any(map(is_number, rows[0][1]))):
        raise ValueError(
            f"{path}: expected a header with the columns x,y,z, got {lines[0][1].strip()!r}; "
            f"for rows of numbers without a header {SYSTEM_HINT}"
        )
    return replace(_triplets(path, rows), usual="dirlab" if is_txt else None)


def _split_table(lines: list[tuple[int, str]]) -> list[Row]:
    """The rows of a table with a header, which says what separates the columns; none without a header."""
    header = lines[0][1] if lines else ""
    for delimiter in DELIMITERS:
        if header and _axes_of(split_at(delimiter, header)):
            reader = csv.reader([line for _, line in lines], skipinitialspace=True, delimiter=delimiter)
            records = [(lines[reader.line_num - 1][0], [cell.strip() for cell in row]) for row in reader if any(row)]
            return [(line, row if len(row) > 1 else split_cells(row[0])) for line, row in records]
    columns = split_cells(header)
    if not _axes_of(columns):
        return []
    last = len(columns) - 1  # takes the rest of a longer row: a text with spaces, or else refused as no number
    rows = [(number, split_cells(line)) for number, line in lines]
    return [(number, [*cells[:last], *([" ".join(cells[last:])] if cells[last:] else [])]) for number, cells in rows]


def _elastix(path: Path, keyword: str, lines: list[tuple[int, str]]) -> Table:
    if len(lines) < 2 or not lines[1][1].strip().isdecimal():
        raise ValueError(f"{path}: expected the number of landmarks on the line after {keyword!r}")
    values = to_points(path, [(number, line.split()) for number, line in lines[2:]])
    if len(values) != int(lines[1][1]):
        raise ValueError(
            f"{path}: expected {lines[1][1].strip()} landmarks as stated after {keyword!r}, got {len(values)}"
        )
    return Table(values, stated="lps" if keyword == "point" else "voxel0")


def _triplets(path: Path, rows: Sequence[Row]) -> Table:
    """Rows of three numbers, and texts before or after them: a label and a description."""
    numbers, names = [], []
    for line, cells in rows:
        found, texts = [c for c in cells if is_number(c)], [c for c in cells if not is_number(c)]
        is_point = len(found) == 3 and len(cells) != 3
        numbers.append((line, found if is_point else cells))
        label, description, *_ = [*texts, "", ""]
        names.append((label, description) if is_point else ("", ""))
    return Table(to_points(path, numbers), names)


def _axes_of(header: Sequence[str]) -> str | None:
    columns = {cell.strip().lower() for cell in header}
    return next((axes for axes in AXES if set(axes) <= columns), None)


def _columns(path: Path, rows: Sequence[Row]) -> Table:
    """A table with a header."""
    header = [cell.strip().lower() for cell in rows[0][1]]
    axes = _axes_of(header) or "xyz"
    records = [(line, dict(zip(header, cells, strict=False))) for line, cells in rows[1:]]
    kept = [_is_used(record.get("defined", ""), record.get("selected", "")) for _, record in records]
    used = [record for record, is_kept in zip(records, kept, strict=True) if is_kept]
    values = to_points(path, [(line, [record[axis] for axis in axes if axis in record]) for line, record in used])
    label, description = (
        next((name for name in known if name in header), known[0]) for known in (LABELS, DESCRIPTIONS)
    )
    names = [(row.get(label, ""), row.get(description, "")) for _, row in used]
    stated: LandmarkSystem | None = "ras" if axes == "ras" else None
    if axes == "lps" or (axes == "xyz" and "t" in header):  # the column t: antsApplyTransformsToPoints
        stated = "lps"
    return Table(values, names, _left_out(kept), stated, "lps" if axes == "xyz" else None)


def _is_used(defined: str, selected: str) -> bool:
    return defined.strip().lower() not in FALSE and selected.strip().lower() not in FALSE


def _left_out(kept: Sequence[bool]) -> tuple[int, ...]:
    return tuple(number for number, is_kept in enumerate(kept, start=1) if not is_kept)


def _fcsv(path: Path) -> Table:
    system = "RAS"  # Slicer's own default for this format
    rows: list[Row] = []
    names, kept = [], []
    for number, line in lines_of(path):
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition("=")
            system = value.strip() if key.strip() == "CoordinateSystem" else system
            continue
        (cells,) = csv.reader([line])  # id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
        kept.append(_is_used("", cells[9] if len(cells) > 9 else ""))
        if kept[-1]:
            rows.append((number, cells[1:4]))
            label, description, *_ = [*cells[11:13], "", ""]
            names.append((label, description))
    return Table(to_points(path, rows), names, _left_out(kept), _slicer_system(path, system))


def _slicer_json(path: Path) -> Table:
    text = read_text(path)
    try:
        lists = [markup for markup in json.loads(text)["markups"] if markup.get("controlPoints")]
        points = [{**point} for markup in lists for point in markup["controlPoints"]]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a 3D Slicer markups file: {error!r}") from error
    if len(lists) != 1:
        raise ValueError(f"{path}: expected one list of control points, got {len(lists)}")
    units = lists[0].get("coordinateUnits", "mm")
    code = units[0] if isinstance(units, list) and units else units  # of code, scheme and meaning
    if str(code).lower() not in UNITS:
        raise ValueError(f"{path}: expected coordinates in mm, got the unit {units!r}")
    rows: list[Row] = []
    names, kept = [], []
    for number, point in enumerate(points, start=1):
        kept.append(point.get("positionStatus", "defined") == "defined" and point.get("selected", True) is not False)
        if not kept[-1]:
            continue
        if not isinstance(point.get("position"), list):
            raise ValueError(f"{path}: control point {number} ({point.get('label') or 'no label'}) has no position")
        rows.append((number, [str(value) for value in point["position"]]))
        label, description = ("" if point.get(key) is None else str(point[key]) for key in ("label", "description"))
        names.append((label, description))
    values = to_points(path, rows, "control point")
    return Table(values, names, _left_out(kept), _slicer_system(path, str(lists[0].get("coordinateSystem", "LPS"))))


def _slicer_system(path: Path, system: str) -> LandmarkSystem:
    if system.upper() not in SLICER_SYSTEMS:
        raise ValueError(f"{path}: expected the coordinate system RAS or LPS, got {system!r}")
    return SLICER_SYSTEMS[system.upper()]
