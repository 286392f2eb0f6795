from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from bundle.io import read_landmarks, write_landmarks_csv, write_landmarks_slicer

POINTS = torch.tensor([[1.25, -2.5, 3.0], [-40.0, 50.5, -60.125]], dtype=torch.float64)
NAMES = [("carina, main", 'said "here"'), ("ä", "")]


def test_names_are_further_columns_of_the_csv_and_labels_of_the_point_list(tmp_path: Path) -> None:
    write_landmarks_csv(tmp_path / "a.csv", POINTS, names=NAMES)
    write_landmarks_slicer(tmp_path / "a.mrk.json", POINTS, system="RAS", names=NAMES)
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["description"]) for row in rows] == NAMES
    assert [float(rows[0][axis]) for axis in "xyz"] == [-1.25, 2.5, 3.0]
    (markup,) = json.loads((tmp_path / "a.mrk.json").read_text())["markups"]
    assert [(point["label"], point.get("description", "")) for point in markup["controlPoints"]] == NAMES
    for name in ("a.csv", "a.mrk.json"):
        landmarks = read_landmarks(tmp_path / name, None)
        torch.testing.assert_close(landmarks.points_mm, POINTS, atol=1e-6, rtol=0)
        assert list(landmarks.names) == NAMES


def test_points_without_names_are_numbered_in_slicer_and_plain_in_csv(tmp_path: Path) -> None:
    write_landmarks_csv(tmp_path / "a.csv", POINTS)
    write_landmarks_slicer(tmp_path / "a.mrk.json", POINTS)
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "x,y,z"
    (markup,) = json.loads((tmp_path / "a.mrk.json").read_text())["markups"]
    assert [point["label"] for point in markup["controlPoints"]] == ["1", "2"]


def test_names_that_do_not_match_the_points_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_landmarks_csv(tmp_path / "a.csv", POINTS, names=NAMES[:1])
    assert not list(tmp_path.iterdir())
