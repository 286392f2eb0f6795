"""DICOM files that scanners and archives write, made from a random volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from torch import Tensor

from tests.io.conftest import make_affine, write_dicom_series

SHAPE = (8, 9, 10)
IDENTITY = make_affine(angles_deg=(0, 0, 180))
SR = "1.2.840.10008.5.1.4.1.1.88.33"


def set_attributes(data: Dataset, attributes: Mapping[str, Any]) -> None:
    """Set attributes of a data set by keyword; None removes one."""
    for keyword, value in attributes.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)


def hu(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 500, shape).astype(np.int16)


def write_series(folder: Path, *, seed: int = 0, affine: Tensor = IDENTITY, **attributes: Any) -> list[Path]:
    """A CT series of random HU; stored values are HU + 1024."""
    return write_dicom_series(folder, hu(seed) + 1024, affine, intercept=-1024, **attributes)


def edit(file: Path, **attributes: Any) -> None:
    """Change attributes of a file; None removes one."""
    data = pydicom.dcmread(file)
    set_attributes(data, attributes)
    data.save_as(file)


def shift(file: Path, offset_mm: Sequence[float]) -> None:
    edit(file, ImagePositionPatient=list(np.array(pydicom.dcmread(file).ImagePositionPatient, float) + offset_mm))


def write_object(file: Path, sop_class: str, modality: str, **attributes: Any) -> None:
    """An object of another kind in a series of its own, made from the header of a CT slice."""
    file.parent.mkdir(parents=True, exist_ok=True)
    (made,) = write_dicom_series(file.parent / "made", hu()[..., :1], IDENTITY)
    data = pydicom.dcmread(made)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.Modality, data.SeriesInstanceUID, data.SeriesDescription = modality, generate_uid(), modality.lower()
    set_attributes(data, attributes)
    data.save_as(file, enforce_file_format=True)
    made.unlink()
    made.parent.rmdir()


def sequence(**attributes: Any) -> list[Dataset]:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def write_enhanced(
    file: Path,
    slices: Sequence[Path],
    order: Sequence[int],
    *,
    slopes: Sequence[float] | None = None,
    phases: Sequence[int] | None = None,
) -> None:
    """An enhanced multi-frame CT of classic slices; frame n holds slice `order[n]`, rescaled by `slopes[n]`."""
    classic = [pydicom.dcmread(slices[index]) for index in order]
    data = pydicom.dcmread(slices[0])
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames = len(order)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = sequence(ImageOrientationPatient=data.ImageOrientationPatient)
    shared.PixelMeasuresSequence = sequence(PixelSpacing=data.PixelSpacing, SliceThickness=data.SliceThickness)
    if slopes is None:
        shared.PixelValueTransformationSequence = sequence(RescaleSlope=1, RescaleIntercept=data.RescaleIntercept)
    for number, source in enumerate(classic):
        frame = Dataset()
        frame.PlanePositionSequence = sequence(ImagePositionPatient=source.ImagePositionPatient)
        if slopes is not None:
            frame.PixelValueTransformationSequence = sequence(
                RescaleSlope=slopes[number], RescaleIntercept=source.RescaleIntercept
            )
        if phases is not None:
            frame.CardiacSynchronizationSequence = sequence(NominalPercentageOfCardiacPhase=float(phases[number]))
        frames.append(frame)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, keyword)
    del data.RescaleSlope, data.RescaleIntercept
    data.PixelData = b"".join(source.PixelData for source in classic)
    data.save_as(file, enforce_file_format=True)


def write_localizer(folder: Path) -> None:
    coronal = make_affine(angles_deg=(90, 0, 180))
    files = write_series(
        folder, affine=coronal, SeriesDescription="Topogram", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    for file in files[2:]:
        file.unlink()


def uid_of(file: Path) -> str:
    return str(pydicom.dcmread(file).SeriesInstanceUID)


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A study as it comes on a disc: a CT among what is no volume, in folders, with and without suffix."""
    for file in write_series(tmp_path / "S1" / "A", SeriesDescription="Thorax 1.0", ConvolutionKernel="B60f"):
        file.rename(file.with_suffix(""))
    write_localizer(tmp_path / "S1")
    write_object(tmp_path / "S2" / "dose.dcm", RTDoseStorage, "RTDOSE", NumberOfFrames=1)
    write_object(tmp_path / "S2" / "struct.dcm", RTStructureSetStorage, "RTSTRUCT", Rows=None, PixelData=None)
    write_object(tmp_path / "S2" / "report", SR, "SR", Rows=None, Columns=None, PixelData=None)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8}
    shape = {"Rows": 4, "Columns": 4, "BitsStored": 8, "HighBit": 7, "PixelData": bytes(48)}
    for index in range(2):
        position = [0, 0, 3 * index]
        capture = tmp_path / "S3" / f"{index}.dcm"
        write_object(capture, SecondaryCaptureImageStorage, "CT", ImagePositionPatient=position, **colour, **shape)
        edit(capture, SeriesInstanceUID="1.2.3.4.5")
    write_object(tmp_path / "S3" / "table.dcm", SecondaryCaptureImageStorage, "OT", ImagePositionPatient=None)
    write_object(tmp_path / "DICOMDIR", "1.2.840.10008.1.3.10", "OT", Rows=None, Columns=None, PixelData=None)
    (tmp_path / "autorun.inf").write_text("[autorun]")
    return tmp_path
