"""Read and write landmarks; in memory they are float64 (N, 3), RAS mm.

| file                                  | coordinates                                                           |
|---------------------------------------|-----------------------------------------------------------------------|
| DIR-Lab `.txt`, rows of three         | voxel indices of the scan, 1-based                                    |
| elastix `.txt`, `point` or `index`    | LPS mm, or voxel indices, 0-based                                     |
| 3D Slicer `.mrk.json`, `.fcsv`        | mm, LPS or RAS as the file states (numbers: 0 is RAS, 1 is LPS)       |
| `.csv` with a header x,y,z            | LPS mm (ANTs, ITK); other columns are ignored                         |
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io.atomic import atomic_path
from bundle.io.headers import ImageHeader

FORMATS = "DIR-Lab .txt, elastix .txt, 3D Slicer .mrk.json or .fcsv, or .csv with a header x,y,z"
SLICER_SYSTEMS = {"RAS": "RAS", "0": "RAS", "LPS": "LPS", "1": "LPS"}  # numbers: files before Slicer 4.11
SLICER_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
OUTSIDE_VOX = 0.501  # scans extend half a voxel beyond the outermost centres (`bundle.resample`); plus rounding

Row = tuple[int, Sequence[str]]  # line number and its three numbers, as text


def read_landmarks_mm(path: str | Path, scan: ImageHeader | None) -> Tensor:
    """Read landmarks of a scan: (N, 3), RAS mm, float64.

    Args:
        scan: converts voxel indices to mm and bounds the points; None: formats in mm only, without bounds.
    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format; voxel indices without a scan; no landmarks; a row without three numbers (with its
            line); landmarks outside the scan (how many, and the first one).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such landmark file")
    name = path.name.lower()
    if name.endswith(".json"):
        points = _read_slicer_json(path)
    elif name.endswith(".fcsv"):
        points = _read_fcsv(path)
    elif name.endswith(".csv"):
        points = swap_ras_lps(_to_points(path, _csv_rows(path)))
    elif name.endswith(".txt"):
        points = _read_text(path, scan)
    else:
        raise ValueError(f"{path}: unknown landmark format, expected {FORMATS}")
    if scan is not None:
        _check_inside(path, points, scan)
    return points


def check_landmark_pair(fixed_path: str | Path, fixed: Tensor, moving_path: str | Path, moving: Tensor) -> None:
    """Check that two landmark sets match row by row. Raises: ValueError with both files and counts."""
    if len(fixed) != len(moving):
        raise ValueError(
            f"fixed and moving landmarks must match row by row: {fixed_path} holds {len(fixed)}, "
            f"{moving_path} holds {len(moving)}"
        )


def write_landmarks_csv(path: str | Path, points_mm: Tensor) -> None:
    """Write landmarks (N, 3), RAS mm, as `.csv` with the header x,y,z in LPS mm (1e-6 mm), atomically."""
    rows = swap_ras_lps(points_mm.double()).tolist()
    text = "x,y,z\n" + "".join(f"{x:.6f},{y:.6f},{z:.6f}\n" for x, y, z in rows)
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def write_landmarks_slicer(path: str | Path, points_mm: Tensor, *, system: Literal["LPS", "RAS"] = "LPS") -> None:
    """Write landmarks (N, 3), RAS mm, as a 3D Slicer point list (.mrk.json) in either coordinate system, atomically.

    Source: 3D Slicer's markups schema 1.0.3, required keys and positions only.
    """
    positions = (points_mm.double() if system == "RAS" else swap_ras_lps(points_mm.double())).tolist()
    points = [
        {"id": str(number), "label": str(number), "position": position, "positionStatus": "defined"}
        for number, position in enumerate(positions, start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"@schema": SLICER_SCHEMA, "markups": [markup]}, indent=1) + "\n")


def _read_text(path: Path, scan: ImageHeader | None) -> Tensor:
    lines = [(number, line.split()) for number, line in _lines(path)]
    keyword = lines[0][1][0].lower() if lines else ""
    if scan is None and keyword != "point":
        raise ValueError(f"{path}: these landmarks are voxel indices: expected their scan, got none")
    affine = torch.eye(4, dtype=torch.float64) if scan is None else scan.affine
    if keyword not in ("point", "index"):
        return apply_affine(affine, _to_points(path, lines) - 1)  # DIR-Lab counts voxels from 1
    if len(lines) < 2 or len(lines[1][1]) != 1 or not lines[1][1][0].isdigit():
        raise ValueError(f"{path}: expected the number of landmarks on the line after {keyword!r}")
    points = _to_points(path, lines[2:])
    if len(points) != int(lines[1][1][0]):
        raise ValueError(f"{path}: expected {lines[1][1][0]} landmarks as stated after {keyword!r}, got {len(points)}")
    return swap_ras_lps(points) if keyword == "point" else apply_affine(affine, points)


def _csv_rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        header = [cell.strip().lower() for cell in next(reader, [])]
        if not {"x", "y", "z"} <= set(header):
            raise ValueError(f"{path}: expected a header with the columns x,y,z, got {','.join(header)!r}")
        columns = [header.index(axis) for axis in "xyz"]
        return [
            (reader.line_num, [row[column] for column in columns if column < len(row)])
            for row in reader
            if any(cell.strip() for cell in row)
        ]


def _read_fcsv(path: Path) -> Tensor:
    system = "RAS"  # Slicer's own default for this format
    rows: list[Row] = []
    for number, line in _lines(path):
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition("=")
            system = value.strip() if key.strip() == "CoordinateSystem" else system
        else:
            rows.append((number, line.split(",")[1:4]))  # id,x,y,z,...; the columns are fixed
    return _from_slicer(path, system, _to_points(path, rows))


def _read_slicer_json(path: Path) -> Tensor:
    try:
        lists = [markup for markup in json.loads(path.read_text())["markups"] if markup.get("controlPoints")]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a 3D Slicer markups file: {error!r}") from error
    if len(lists) != 1:
        raise ValueError(f"{path}: expected one list of control points, got {len(lists)}")
    rows: list[Row] = []
    for number, point in enumerate(lists[0]["controlPoints"], start=1):
        if point.get("positionStatus", "defined") != "defined" or not isinstance(point.get("position"), list):
            raise ValueError(f"{path}: control point {number} ({point.get('label', 'no label')}) has no position")
        rows.append((number, [str(value) for value in point["position"]]))
    return _from_slicer(path, str(lists[0].get("coordinateSystem", "LPS")), _to_points(path, rows, "control point"))


def _from_slicer(path: Path, system: str, points: Tensor) -> Tensor:
    if system.upper() not in SLICER_SYSTEMS:
        raise ValueError(f"{path}: expected the coordinate system RAS or LPS, got {system!r}")
    return points if SLICER_SYSTEMS[system.upper()] == "RAS" else swap_ras_lps(points)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Non-empty lines with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _to_points(path: Path, rows: Sequence[Row], what: str = "line") -> Tensor:
    if not rows:
        raise ValueError(f"{path}: no landmarks in this file")
    points = []
    for number, cells in rows:
        if len(cells) != 3:
            raise ValueError(f"{path}, {what} {number}: expected 3 coordinates, got {len(cells)}")
        try:
            points.append([float(cell) for cell in cells])
            if not all(map(math.isfinite, points[-1])):
                raise ValueError("not finite")
        except ValueError as error:
            raise ValueError(f"{path}, {what} {number}: expected 3 numbers, got {' '.join(cells)!r}") from error
    return torch.tensor(points, dtype=torch.float64)


def _check_inside(path: Path, points: Tensor, scan: ImageHeader) -> None:
    vox = apply_affine(torch.linalg.inv(scan.affine), points)
    last = torch.tensor(scan.shape, dtype=torch.float64) - 1
    outside = torch.nonzero(~((vox >= -OUTSIDE_VOX) & (vox <= last + OUTSIDE_VOX)).all(dim=1)).flatten().tolist()
    if outside:
        first = outside[0]
        where = ", ".join(f"{value:.1f}" for value in vox[first].tolist())
        raise ValueError(
            f"{path}: {len(outside)} of {len(points)} landmarks lie outside {scan.path} of shape {scan.shape}; "
            f"the first is number {first + 1}, at voxel ({where}); "
            "check that they belong to this scan and use the coordinates of their format"
        )
