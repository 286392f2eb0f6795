from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.radiotherapy import check_dose, read_dose
from bundle.radiotherapy.checks import check_frame, check_patient
from tests.formats.dicom.conftest import edit
from tests.radiotherapy.conftest import Scan, write_dose_file


def test_a_dose_belongs_to_the_scan_of_its_patient_and_frame_of_reference(
    fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    path = write_dose_file(tmp_path / "dose.dcm", moving, np.ones((4, 5, 6)), moving.grid.affine)
    check_dose(read_dose(path), moving.source)
    with pytest.raises(ValueError, match=rf"expected frame of reference {fixed.source.frame_of_reference} of the"):
        check_dose(read_dose(path), fixed.source)
    edit(path, PatientID="18")
    with pytest.raises(ValueError, match="expected PatientID '17' as in the scan, found '18'"):
        check_dose(read_dose(path), moving.source)


def test_objects_without_a_frame_or_of_several_are_refused(moving: Scan) -> None:
    first = moving.source.slices[0]
    check_patient("object", first, moving.source)
    check_frame("object", {moving.source.frame_of_reference}, moving.source)
    for frames in (set(), {moving.source.frame_of_reference, "1.2.3"}):
        with pytest.raises(ValueError, match="object: expected frame of reference"):
            check_frame("object", frames, moving.source)
