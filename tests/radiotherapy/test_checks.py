from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.radiotherapy import check_dose, read_dose
from bundle.radiotherapy.checks import check_frame, check_patient
from tests.formats.dicom.conftest import edit
from tests.radiotherapy.conftest import Scan, make_scan, write_dose_file


def test_a_dose_belongs_to_the_scan_of_its_patient_and_frame_of_reference(
    fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    path = write_dose_file(tmp_path / "dose.dcm", moving, np.ones((4, 5, 6)), moving.grid.affine)
    check_dose(read_dose(path), moving.source, fixed.source)
    with pytest.raises(ValueError, match=rf"expected frame of reference {fixed.source.frame_of_reference} of the"):
        check_dose(read_dose(path), fixed.source, moving.source)
    edit(path, PatientID="18")
    with pytest.raises(ValueError, match="expected PatientID '17' as in the scan, found '18'"):
        check_dose(read_dose(path), moving.source, fixed.source)


def test_objects_without_a_frame_or_of_several_are_refused(moving: Scan) -> None:
    first = moving.source.slices[0]
    check_patient("object", first, moving.source)
    check_frame("object", {moving.source.frame_of_reference}, moving.source)
    for frames in (set(), {moving.source.frame_of_reference, "1.2.3"}):
        with pytest.raises(ValueError, match="object: expected frame of reference"):
            check_frame("object", frames, moving.source)


def test_a_dose_that_could_lie_on_either_scan_is_told(
    moving: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The phases of a 4DCT have one frame of reference."""
    path = write_dose_file(tmp_path / "dose.dcm", moving, np.ones((4, 5, 6)), moving.grid.affine)
    frame = moving.source.frame_of_reference
    phase = make_scan(tmp_path / "phase", (6, 7, 8), moving.grid.affine, FrameOfReferenceUID=frame)
    check_dose(read_dose(path), moving.source, moving.source)
    assert not caplog.text
    check_dose(read_dose(path), moving.source, phase.source)
    uid = moving.source.volume.series.uid
    assert f"taken for a dose on series {uid}; both scans have its frame of reference" in caplog.text
