from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from bundle.radiotherapy import check_references, read_structures
from tests.formats.dicom.conftest import edit
from tests.radiotherapy.conftest import Scan, centre_lps, sphere, write_structure_set


def test_names_kinds_and_contours_are_read(drawn: Path, moving: Scan) -> None:
    found = read_structures(drawn)
    assert [(item.number, item.name, item.kind) for item in found.structures] == [
        (3, "tumour", "closed"),
        (4, "lung", "closed"),
        (5, "marker", "point"),
        (6, "later", "empty"),
    ]
    ball = sphere(moving.grid, centre_lps(moving.grid), [12.0, 5.0])
    np.testing.assert_allclose(np.concatenate(found.structures[0].contours), np.concatenate(ball), atol=6e-4)
    assert [item.name for item in read_structures(drawn, ["lung"]).structures] == ["lung"]
    with pytest.raises(ValueError, match="expected one structure 'heart'; there are: later, lung, marker, tumour"):
        read_structures(drawn, ["lung", "heart"])


def test_open_contours_and_contours_without_area_are_left_out_with_a_warning(
    moving: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ball = sphere(moving.grid, centre_lps(moving.grid), [12.0])
    structures = {"ball": [*ball, ball[0][:2]], "wire": ball[:1]}
    path = write_structure_set(tmp_path / "drawn.dcm", moving, structures, {"wire": "OPEN_NONPLANAR"})
    with caplog.at_level(logging.WARNING):
        (found,) = read_structures(path).structures
    assert (found.name, len(found.contours)) == ("ball", len(ball))
    assert "structure 'ball': 1 contours without area left out" in caplog.text
    assert "structure 'wire' is left out: its contours are OPEN_NONPLANAR" in caplog.text
    with pytest.raises(ValueError, match="no structure with closed planar contours or points"):
        read_structures(path, ["wire"])


def test_a_file_of_another_kind_is_refused(moving: Scan, tmp_path: Path) -> None:
    scan = next(moving.folder.iterdir())
    with pytest.raises(ValueError, match="expected a DICOM RT Structure Set Storage object, found CT Image Storage"):
        read_structures(scan)
    (tmp_path / "cut.dcm").write_bytes(scan.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cut\.dcm: cannot be read as DICOM"):
        read_structures(tmp_path / "cut.dcm")
    with pytest.raises(FileNotFoundError, match=r"gone\.dcm: no such file"):
        read_structures(tmp_path / "gone.dcm")


def _frame(path: Path) -> None:
    data = pydicom.dcmread(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    data.save_as(path)


def _series(path: Path) -> None:
    data = pydicom.dcmread(path)
    study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    data.save_as(path)


def _slice(path: Path) -> None:
    data = pydicom.dcmread(path)
    study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].ContourImageSequence[4].ReferencedSOPInstanceUID = "1.2.3"
    data.save_as(path)


def _patient(path: Path) -> None:
    edit(path, PatientID="18")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_frame, r"expected frame of reference .* of the scan that it is carried from, found .*--inverse"),
        (_series, r"drawn on series 1\.2\.3, expected .*; --any_series takes"),
        (_slice, "1 slices that it refers to are missing in series"),
        (_patient, "expected PatientID '17' as in the scan, found '18'"),
    ],
)
def test_structures_of_another_scan_are_refused(change: Any, message: str, drawn: Path, moving: Scan) -> None:
    check_references(read_structures(drawn), moving.source)
    change(drawn)
    with pytest.raises(ValueError, match=message):
        check_references(read_structures(drawn), moving.source)
    if change is _series:
        check_references(read_structures(drawn), moving.source, any_series=True)


def test_copies_of_a_contour_count_once_and_lines_not_at_all(
    moving: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    centre = centre_lps(moving.grid)
    ball = sphere(moving.grid, centre, [10.0])
    line = centre + np.array([[0, 0, 0], [5, 0, 0], [9, 0, 0], [2, 0, 0]])
    path = write_structure_set(tmp_path / "set.dcm", moving, {"ball": [*ball, line, *ball[2:4]], "line": [line]})
    first, second = read_structures(path).structures
    assert first.kind == "closed"
    np.testing.assert_allclose(np.concatenate(first.contours), np.concatenate(ball), atol=1e-3)
    assert second.kind == "empty"
    assert "structure 'ball': 1 contours without area left out" in caplog.text
    assert "structure 'ball': 2 copies of contours left out" in caplog.text


@pytest.mark.parametrize(
    ("sequence", "keyword", "number", "message"),
    [
        ("StructureSetROISequence", "ROINumber", 3, r"a ROINumber of its own for every structure, found \[.*3.*3"),
        ("StructureSetROISequence", "ROINumber", None, "a ROINumber of its own for every structure, found .*None"),
        ("ROIContourSequence", "ReferencedROINumber", None, "a ReferencedROINumber of its own for every structure"),
    ],
)
def test_structures_that_share_or_lack_a_number_are_refused(
    sequence: str, keyword: str, number: int | None, message: str, drawn: Path
) -> None:
    data = pydicom.dcmread(drawn)
    item = data[sequence].value[1]
    if number is None:
        delattr(item, keyword)
    else:
        setattr(item, keyword, number)
    data.save_as(drawn, enforce_file_format=True)
    with pytest.raises(ValueError, match=message):
        read_structures(drawn)
