from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from bundle.radiotherapy import Structure, check_references, read_structures, write_structures
from tests.radiotherapy.conftest import Scan, centre_lps, circle, lps_axes, sphere, write_structure_set


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
