"""The DICOM slices of a scan: what objects made from it refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom
from monai.data import MetaTensor
from pydicom import Dataset
from torch import Tensor

from bundle.formats.dicom import OPTIONS, DicomVolume, Frame, find_volume, is_dicom
from bundle.io.headers import affine_from_itk


class Source(NamedTuple):
    """A scan before its voxels are read: its volume, and the header of each of its slices."""

    volume: DicomVolume
    slices: list[Dataset]

    @property
    def affine(self) -> Tensor:
        """Voxels to RAS mm (4, 4), as `bundle.io.read_image` has it."""
        return affine_from_itk(*self.volume.grid[1:])

    @property
    def frame_of_reference(self) -> str:
        return str(self.slices[0].FrameOfReferenceUID)


def find_source(path: str | Path, choice: str | None = None, *, option: str = OPTIONS) -> Source:
    """The slices of a scan in a DICOM folder or multi-frame file.

    Args:
        choice, option: see `bundle.formats.dicom.find_volume`.
    Raises: FileNotFoundError, ValueError: no DICOM, what `find_volume` raises, and a series without frame of reference.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such DICOM folder")
    if not Path(path).is_dir() and not is_dicom(path):
        raise ValueError(f"{path}: expected a DICOM folder or file, found another: DICOM objects refer to DICOM slices")
    volume = find_volume(path, choice, option=option, quiet=True)
    source = Source(volume, slice_headers(volume.frames))
    if "FrameOfReferenceUID" not in source.slices[0]:
        raise ValueError(f"{volume.frames[0].file}: series {volume.series.uid} has no FrameOfReferenceUID")
    return source


def source_of(scan: MetaTensor) -> Source:
    """The slices that a scan was read from. Raises: see `find_source`."""
    series, phase = (str(scan.meta.get(f"dicom_{key}") or "") for key in ("series", "phase"))
    return find_source(str(scan.meta.get("filename_or_obj")), f"{series}#{phase}" if phase else series or None)


def find_sources(scans: Mapping[str, str | Path], series: Mapping[str, str | None]) -> dict[str, Source]:
    """The slices of the scans of one patient.

    Args:
        scans: DICOM folders by name, `fixed` and `moving`.
        series: of each, see `find_source`.
    Raises: FileNotFoundError, ValueError: see `find_source`; ValueError if the patients differ.
    """
    sources = {key: find_source(path, series.get(key), option=f"--{key}_series") for key, path in scans.items()}
    patients = [source.slices[0].get("PatientID") for source in sources.values()]
    if len(set(patients)) > 1:
        raise ValueError(f"{' and '.join(map(str, scans.values()))}: expected one patient, got PatientID {patients}")
    return sources


def slice_headers(frames: Sequence[Frame]) -> list[Dataset]:
    """Header of each frame, without pixels, as that of a file with one slice.

    A frame of a multi-frame file carries its number as ReferencedFrameNumber.
    """
    headers: dict[str, Dataset] = {}
    slices = []
    for frame in frames:
        if frame.file not in headers:
            headers[frame.file] = pydicom.dcmread(frame.file, stop_before_pixels=True, force=True)
        header = headers[frame.file]
        if frame.count > 1:
            header = Dataset()
            header.update(headers[frame.file])
            header.ReferencedFrameNumber = frame.index + 1
            header.ImagePositionPatient = list(frame.position or ())
            header.ImageOrientationPatient = list(frame.cosines or ())
            header.PixelSpacing = list(frame.spacing or ())[::-1]
        slices.append(header)
    return slices
