"""Write landmarks as .csv and as point lists of 3D Slicer."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from bundle.geometry import swap_ras_lps
from bundle.io.atomic import atomic_path
from bundle.io.landmarks.points import Names

SLICER_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_landmarks_csv(path: str | Path, points_mm: Tensor, *, names: Names = ()) -> None:
    """Write landmarks (N, 3), RAS mm, as `.csv` with the header x,y,z in LPS mm (1e-6 mm), atomically.

    Args:
        names: of each point, written as the further columns label and description.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [[f"{value:.6f}" for value in row] for row in swap_ras_lps(points_mm.double()).tolist()]
    if names:
        writer.writerow(["x", "y", "z", "label", "description"])
        rows = [[*row, *name] for row, name in zip(rows, names, strict=True)]
    else:
        writer.writerow(["x", "y", "z"])
    writer.writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.getvalue().encode())


def write_landmarks_slicer(
    path: str | Path, points_mm: Tensor, *, system: Literal["LPS", "RAS"] = "LPS", names: Names = ()
) -> None:
    """Write landmarks (N, 3), RAS mm, as a 3D Slicer point list (.mrk.json) in either coordinate system, atomically.

    Args:
        names: label and description of each point; numbered from 1 if empty.
    Source: 3D Slicer's markups schema 1.0.3, required keys and positions only.
    """
    positions = (points_mm.double() if system == "RAS" else swap_ras_lps(points_mm.double())).tolist()
    points: list[dict[str, Any]] = [
        {"id": str(number), "label": str(number), "position": position, "positionStatus": "defined"}
        for number, position in enumerate(positions, start=1)
    ]
    for point, (label, description) in zip(points, names, strict=bool(names)):
        point["label"] = label or point["label"]
        if description:
            point["description"] = description
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"@schema": SLICER_SCHEMA, "markups": [markup]}, indent=1) + "\n")
