from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, RTDoseStorage

from bundle.io.dicom_objects.read_object import read_object
from tests.io.dicom_objects.conftest import Series


def test_an_object_of_the_wanted_kind_is_read_and_others_are_refused(fixed: Series, tmp_path: Path) -> None:
    file = next(fixed.folder.iterdir())
    assert read_object(file, CTImageStorage).PatientID == "17"
    with pytest.raises(ValueError, match=f"{file.name}: expected a DICOM RT Dose Storage object, found CT Image"):
        read_object(file, RTDoseStorage)
    (tmp_path / "text.dcm").write_text("no DICOM" * 50)
    with pytest.raises(ValueError, match=r"text\.dcm: cannot be read as DICOM, truncated or damaged\? \("):
        read_object(tmp_path / "text.dcm", CTImageStorage)
    with pytest.raises(FileNotFoundError, match=r"no such file \(expected a DICOM CT Image Storage object\)"):
        read_object(tmp_path / "gone.dcm", CTImageStorage)
