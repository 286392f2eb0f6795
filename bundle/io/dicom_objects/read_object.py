"""Read one DICOM object of a known kind."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID


def read_object(path: str | Path, sop_class: str) -> Dataset:
    """Read a DICOM file.

    Args:
        sop_class: UID of the SOP class that it must have.
    Raises: FileNotFoundError; ValueError for a file that is damaged or of another class.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file (expected a DICOM {UID(sop_class).name} object)")
    try:
        data = pydicom.dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as DICOM, truncated or damaged? ({error})") from error
    found = data.get("SOPClassUID")
    if found != sop_class:
        raise ValueError(
            f"{path}: expected a DICOM {UID(sop_class).name} object, found {getattr(found, 'name', found)}"
        )
    return data
