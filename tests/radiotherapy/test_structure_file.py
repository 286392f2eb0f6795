from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from bundle.radiotherapy import Structure, check_references, read_structures, write_structures
from tests.formats.dicom.conftest import edit
from tests.radiotherapy.conftest import Scan, centre_lps, circle, lps_axes, sphere, write_structure_set


@pytest.fixture
def drawn(moving: Scan, tmp_path: Path) -> Path:
    """Two organs, a tumour, a marker and an empty structure on the moving scan."""
    ball = sphere(moving.grid, centre_lps(moving.grid), [12.0, 5.0])
    structures = {"tumour": ball, "lung": ball[:3], "marker": [centre_lps(moving.grid)[None]], "later": []}
    return write_structure_set(tmp_path / "drawn.dcm", moving, structures, {"marker": "POINT"})


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


@pytest.mark.filterwarnings("error::UserWarning:pydicom")
def test_written_structures_refer_to_the_target_and_keep_names_colours_and_types(
    drawn: Path, fixed: Scan, tmp_path: Path
) -> None:
    like = read_structures(drawn)
    ball = sphere(fixed.grid, centre_lps(fixed.grid), [12.0])
    marker = Structure(5, "marker", "point", [centre_lps(fixed.grid)[None]])
    carried = [Structure(3, "tumour", "closed", ball), Structure(4, "lung", "empty", []), marker]
    path = tmp_path / "carried.dcm"
    write_structures(path, carried, like, fixed.source)
    data, slices = pydicom.dcmread(path), fixed.source.slices
    assert data.SeriesInstanceUID != like.data.SeriesInstanceUID
    assert data.SOPInstanceUID not in (like.data.SOPInstanceUID, data.SeriesInstanceUID)
    assert (data.StudyInstanceUID, data.PatientID) == (slices[0].StudyInstanceUID, "17")
    assert (data.SeriesDescription, data.StructureSetLabel) == ("Plan A (carried)", "Plan A")
    assert data.ApprovalStatus == "UNAPPROVED"
    (frame,) = data.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == fixed.source.volume.series.uid
    assert len(series.ContourImageSequence) == len(slices)
    assert [roi.ROIName for roi in data.StructureSetROISequence] == ["tumour", "lung", "marker"]
    assert {roi.ReferencedFrameOfReferenceUID for roi in data.StructureSetROISequence} == {frame.FrameOfReferenceUID}
    assert [list(roi.ROIDisplayColor) for roi in data.ROIContourSequence] == [[30, 0, 255], [40, 0, 255], [50, 0, 255]]
    assert [item.RTROIInterpretedType for item in data.RTROIObservationsSequence] == ["GTV", "ORGAN", "ORGAN"]
    assert "ContourSequence" not in data.ROIContourSequence[1]
    assert data.ROIContourSequence[2].ContourSequence[0].ContourGeometricType == "POINT"
    axes, spacing, origin = lps_axes(fixed.grid.affine)
    for contour, points in zip(data.ROIContourSequence[0].ContourSequence, ball, strict=True):
        (image,) = contour.ContourImageSequence
        number = round(((points[0] - origin) @ axes)[2] / spacing[2])
        assert image.ReferencedSOPInstanceUID == slices[number].SOPInstanceUID
        assert contour.NumberOfContourPoints == len(points)
    again = read_structures(path)
    np.testing.assert_allclose(np.concatenate(again.structures[0].contours), np.concatenate(ball), atol=6e-5)
    check_references(again, fixed.source)


def test_structures_without_colour_or_observation_are_written_too(moving: Scan, fixed: Scan, tmp_path: Path) -> None:
    ring = np.column_stack([circle(9.0), np.zeros(180)]) + centre_lps(moving.grid)
    path = write_structure_set(tmp_path / "drawn.dcm", moving, {"ring": [ring]})
    data = pydicom.dcmread(path)
    del data.RTROIObservationsSequence, data.ROIContourSequence[0].ROIDisplayColor, data.StructureSetLabel
    data.save_as(path)
    like = read_structures(path)
    write_structures(tmp_path / "carried.dcm", like.structures, like, fixed.source)
    written = pydicom.dcmread(tmp_path / "carried.dcm")
    assert written.RTROIObservationsSequence[0].RTROIInterpretedType == ""
    assert "ROIDisplayColor" not in written.ROIContourSequence[0]
    assert written.StructureSetLabel == "carried"
