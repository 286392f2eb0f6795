from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage

from bundle.io.dicom_objects.instance import coded, identify, new_series, refer, references
from tests.io.dicom_objects.conftest import Series


def test_a_new_series_carries_patient_study_and_frame_of_reference_and_survives_another_character_set(
    fixed: Series, tmp_path: Path
) -> None:
    source = fixed.slices[0]
    series = new_series(source, modality="CT", number=7, description="x" * 70)
    identify(series, sop_class=CTImageStorage, number=3)
    series.save_as(tmp_path / "new.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "new.dcm")
    assert str(read.PatientName) == "Müller^Jörg"
    assert read.StudyDescription == "Überprüfung"
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert read[keyword].value == source[keyword].value
    assert read.PatientBirthDate == ""  # wanted by DICOM even where nothing is known
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    assert read.SOPInstanceUID == read.file_meta.MediaStorageSOPInstanceUID
    assert len(read.SeriesDescription) == 64


def test_sources_are_listed_by_series_and_those_of_another_study_apart(fixed: Series, moving: Series) -> None:
    series = new_series(fixed.slices[0], modality="CT", number=7, description="")
    refer(series, [fixed.slices[2], *moving.slices[4:6]])
    (in_study,) = series.ReferencedSeriesSequence
    assert in_study.SeriesInstanceUID == fixed.slices[0].SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in in_study.ReferencedInstanceSequence] == [
        fixed.slices[2].SOPInstanceUID
    ]
    (other,) = series.StudiesContainingOtherReferencedInstancesSequence
    assert other.StudyInstanceUID == moving.slices[0].StudyInstanceUID
    (elsewhere,) = other.ReferencedSeriesSequence
    assert len(elsewhere.ReferencedInstanceSequence) == 2


def test_sources_of_the_same_study_are_listed_together(fixed: Series, moving: Series) -> None:
    for slice_ in moving.slices:
        slice_.StudyInstanceUID = fixed.slices[0].StudyInstanceUID
    series = new_series(fixed.slices[0], modality="CT", number=7, description="")
    refer(series, [*fixed.slices, *moving.slices])
    assert [len(item.ReferencedInstanceSequence) for item in series.ReferencedSeriesSequence] == [10, 12]
    assert "StudiesContainingOtherReferencedInstancesSequence" not in series


def test_a_code_is_a_sequence_of_one_item() -> None:
    (item,) = coded(codes.DCM.DeformedForRegistration)
    assert (item.CodeValue, item.CodingSchemeDesignator) == ("125027", "DCM")


def test_frames_of_one_instance_are_referenced_together(fixed: Series) -> None:
    """In any order and each once; a list of instances does not name frames."""
    frames = []
    for number in (3, 1, 3):
        frame = deepcopy(fixed.slices[0])
        frame.ReferencedFrameNumber = number
        frames.append(frame)
    multi_frame, slice_ = references([*frames, fixed.slices[1]])
    assert multi_frame.ReferencedSOPInstanceUID == fixed.slices[0].SOPInstanceUID
    assert multi_frame.ReferencedFrameNumber == [1, 3]
    assert "ReferencedFrameNumber" not in slice_
    series = new_series(fixed.slices[0], modality="CT", number=7, description="")
    refer(series, frames)
    (instance,) = series.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert "ReferencedFrameNumber" not in instance
