import json
from pathlib import Path
from typing import Literal

import jsonschema
import pytest
import torch
from torch import Tensor

from bundle.io import ImageHeader, read_landmarks_mm, write_landmarks_csv, write_landmarks_slicer
from tests.io.conftest import SHAPE

# What version 1.0.3 of the schema that 3D Slicer publishes says about the keys we write.
SLICER_MARKUPS = {
    "type": "object",
    "required": ["@schema", "markups"],
    "properties": {
        "@schema": {"type": "string", "pattern": r"markups-schema-v1\.[0-9]+\.[0-9]+\.json#$"},
        "markups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI"]},
                    "coordinateSystem": {"enum": ["LPS", "RAS"]},
                    "coordinateUnits": {"enum": ["mm", "um"]},
                    "controlPoints": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "id": {"type": "string"},
                                "label": {"type": "string"},
                                "position": {
                                    "type": "array",
                                    "items": {"type": "number"},
                                    "minItems": 3,
                                    "maxItems": 3,
                                },
                                "positionStatus": {"enum": ["undefined", "preview", "defined"]},
                            },
                        },
                    },
                },
            },
        },
    },
}
VOX = torch.tensor([[0.0, 0.0, 0.0], [7.0, 8.0, 9.0], [3.0, 4.0, 5.0]], dtype=torch.float64)


@pytest.fixture
def scan(oblique: Tensor) -> ImageHeader:
    return ImageHeader("scan.nii.gz", SHAPE, oblique)


@pytest.fixture
def points(oblique: Tensor) -> Tensor:
    return VOX @ oblique[:3, :3].T + oblique[:3, 3]


def lps(points: Tensor) -> list[list[float]]:
    return (points * torch.tensor([-1.0, -1.0, 1.0])).tolist()


def markups(rows: list[list[float]], system: object) -> str:
    control_points = [{"id": str(number), "label": f"F-{number}", "position": row} for number, row in enumerate(rows)]
    return json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": control_points}]})


def fcsv(rows: list[list[float]], system: str) -> str:
    header = (
        f"# Markups fiducial file version = 4.10\n# CoordinateSystem = {system}\n# columns = id,x,y,z,ow,ox,oy,oz\n"
    )
    return header + "".join(f"vtk_{number},{x},{y},{z},0,0,0,1,1,1,0,F,\n" for number, (x, y, z) in enumerate(rows))


def table(rows: list[list[float]], separator: str = " ") -> str:
    return "".join(separator.join(str(value) for value in row) + "\n" for row in rows)


def test_every_format_gives_the_same_points(tmp_path: Path, scan: ImageHeader, points: Tensor) -> None:
    ras, left = points.tolist(), lps(points)
    files = {
        "dirlab.txt": "1\t1\t1\t\n8\t9\t10\n\n4 5\t6\t\n",
        "dirlab_float.txt": "1.0 1.0 1.0\r\n8.0 9.0 10.0\r\n4.0 5.0 6.0\r\n",
        "elastix_point.txt": "point\n3\n" + table(left),
        "elastix_index.txt": "index\n3\n" + table(VOX.int().tolist()),
        "slicer_lps.mrk.json": markups(left, "LPS"),
        "slicer_ras.mrk.json": markups(ras, "RAS"),
        "slicer_1.mrk.json": markups(left, "1"),
        "slicer_0.mrk.json": markups(ras, 0),
        "slicer_lps.fcsv": fcsv(left, "LPS"),
        "slicer_ras.fcsv": fcsv(ras, "RAS"),
        "slicer_1.fcsv": fcsv(left, "1"),
        "slicer_0.fcsv": fcsv(ras, "0"),
        "ants.csv": "x,y,z,t,label\n" + "".join(f"{x},{y},{z},0,1\n" for x, y, z in left),
        "reordered.csv": "\ufefflabel, Z, Y, X\n" + "".join(f"a, {z}, {y}, {x}\n" for x, y, z in left),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        read = read_landmarks_mm(tmp_path / name, scan)
        assert read.dtype == torch.float64
        torch.testing.assert_close(read, points, atol=1e-9, rtol=0, msg=name)


def test_markups_without_a_coordinate_system_are_lps(tmp_path: Path, scan: ImageHeader, points: Tensor) -> None:
    content = json.loads(markups(lps(points), "LPS"))
    del content["markups"][0]["coordinateSystem"]
    (tmp_path / "slicer.mrk.json").write_text(json.dumps(content))
    torch.testing.assert_close(read_landmarks_mm(tmp_path / "slicer.mrk.json", scan), points)


def test_written_landmarks_are_lps_and_read_back(tmp_path: Path, scan: ImageHeader, points: Tensor) -> None:
    write_landmarks_csv(tmp_path / "landmarks.csv", points)
    lines = (tmp_path / "landmarks.csv").read_text().splitlines()
    assert lines[0] == "x,y,z"
    assert [float(value) for value in lines[2].split(",")] == pytest.approx(lps(points)[1], abs=1e-6)
    torch.testing.assert_close(read_landmarks_mm(tmp_path / "landmarks.csv", scan), points, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "1 1 1\n\n2 2\n", r"a\.txt, line 3: expected 3 coordinates, got 2"),
        ("a.txt", "1 1 1\n1 2 3 4\n", r"a\.txt, line 2: expected 3 coordinates, got 4"),
        ("a.txt", "1 1 1\n1 x 3\n", r"a\.txt, line 2: expected 3 numbers, got '1 x 3'"),
        ("a.txt", "1 1 1\nnan 1 1\n", r"a\.txt, line 2: expected 3 numbers, got 'nan 1 1'"),
        ("a.txt", " \n", r"a\.txt: no landmarks in this file"),
        ("a.txt", "point\n", r"a\.txt: expected the number of landmarks on the line after 'point'"),
        ("a.txt", "index\n2\n1 1 1\n", r"a\.txt: expected 2 landmarks as stated after 'index', got 1"),
        ("a.csv", "1,2,3\n", r"a\.csv: expected a header with the columns x,y,z, got '1,2,3'"),
        ("a.csv", "x,y,z\n1,2\n", r"a\.csv, line 2: expected 3 coordinates, got 2"),
        ("a.csv", "x,y,z\n", r"a\.csv: no landmarks"),
        ("a.fcsv", fcsv([[1, 2, 3]], "IJK"), r"a\.fcsv: expected the coordinate system RAS or LPS, got 'IJK'"),
        ("a.mrk.json", "{", r"a\.mrk\.json: not a 3D Slicer markups file"),
        ("a.mrk.json", "[]", r"a\.mrk\.json: not a 3D Slicer markups file"),
        ("a.mrk.json", '{"markups": []}', r"expected one list of control points, got 0"),
        ("a.mrk.json", markups([], "LPS").replace("[]", '[{"label": "b"}]'), r"control point 1 \(b\) has no position"),
        ("a.mrk.json", markups([[1, 2]], "LPS"), r"a\.mrk\.json, control point 1: expected 3 coordinates, got 2"),
        ("a.ply", "", r"a\.ply: unknown landmark format, expected DIR-Lab \.txt, elastix"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(
    tmp_path: Path, scan: ImageHeader, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_landmarks_mm(tmp_path / name, scan)


def test_a_binary_file_and_a_missing_file_are_refused(tmp_path: Path, scan: ImageHeader) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x80\x00\x01\xff")
    with pytest.raises(ValueError, match=r"a\.txt: not a text file"):
        read_landmarks_mm(tmp_path / "a.txt", scan)
    with pytest.raises(FileNotFoundError, match=r"b\.txt: no such landmark file"):
        read_landmarks_mm(tmp_path / "b.txt", scan)


def test_landmarks_outside_the_scan_are_counted_and_the_first_is_named(tmp_path: Path, scan: ImageHeader) -> None:
    (tmp_path / "a.txt").write_text("1 1 1\n9 9 10\n8 9 10\n0 1 1\n")
    with pytest.raises(
        ValueError,
        match=r"a\.txt: 2 of 4 landmarks lie outside scan\.nii\.gz of shape \(8, 9, 10\); "
        r"the first is number 2, at voxel \(8\.0, 8\.0, 9\.0\)",
    ):
        read_landmarks_mm(tmp_path / "a.txt", scan)


def test_half_a_voxel_beyond_the_outermost_centres_is_inside(tmp_path: Path, scan: ImageHeader) -> None:
    (tmp_path / "a.txt").write_text("0.5 0.5 0.5\n8.5 9.5 10.5\n")
    assert len(read_landmarks_mm(tmp_path / "a.txt", scan, system="dirlab")) == 2


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_a_slicer_point_list_holds_the_points_in_the_system_it_names(
    system: Literal["LPS", "RAS"], tmp_path: Path, scan: ImageHeader, points: Tensor
) -> None:
    write_landmarks_slicer(tmp_path / "points.mrk.json", points, system=system)
    (markup,) = json.loads((tmp_path / "points.mrk.json").read_text())["markups"]
    expected = points.tolist() if system == "RAS" else lps(points)
    assert markup["coordinateSystem"] == system
    assert [point["position"] for point in markup["controlPoints"]] == expected
    torch.testing.assert_close(read_landmarks_mm(tmp_path / "points.mrk.json", scan), points)


def test_a_slicer_point_list_follows_slicers_schema(tmp_path: Path, points: Tensor) -> None:
    write_landmarks_slicer(tmp_path / "points.mrk.json", points)
    content = json.loads((tmp_path / "points.mrk.json").read_text())
    jsonschema.validate(content, SLICER_MARKUPS)


@pytest.mark.parametrize(("name", "text"), [("dirlab.txt", "1 1 1\n8 9 10\n"), ("elastix.txt", "index\n1\n3 4 5\n")])
def test_voxel_indices_without_their_scan_are_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: these landmarks are voxel indices: expected their scan, got none"):
        read_landmarks_mm(tmp_path / name, None)


def test_points_in_mm_need_no_scan(tmp_path: Path, points: Tensor) -> None:
    write_landmarks_csv(tmp_path / "points.csv", points)
    torch.testing.assert_close(read_landmarks_mm(tmp_path / "points.csv", None), points, atol=1e-6, rtol=0)
