"""The DICOM slices that a registration was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom import Dataset

from bundle.formats.dicom import DicomVolume, Frame, find_volume

CT = "CT"


class Source(NamedTuple):
    """A scan before its voxels are read: its volume, and the header of each of its slices."""

    volume: DicomVolume
    slices: list[Dataset]


def find_pair(folder: Path, series: Mapping[str, str]) -> dict[str, Source]:
    """Find the fixed and the moving scan.

    Args:
        folder: contains both, in subfolders or mixed.
        series: of `fixed` and `moving`, see `bundle.formats.dicom.find_volume`.
    Raises: FileNotFoundError, ValueError: see `find_volume`; also ValueError if both are the same, one is no CT or has
        no frame of reference, or the patients differ.
    """
    volumes = {key: find_volume(folder, choice, option=f"--{key}_series", quiet=True) for key, choice in series.items()}
    pair = {key: Source(volume, slice_headers(volume.frames)) for key, volume in volumes.items()}
    if volumes["fixed"].frames == volumes["moving"].frames:
        raise ValueError(f"{folder}: expected two scans, found series {volumes['fixed'].choice} for both")
    for key, (volume, slices) in pair.items():
        if volume.series.modality != CT:
            raise ValueError(f"{folder}: expected a CT for --{key}_series, found series {volume.series}")
        if "FrameOfReferenceUID" not in slices[0]:
            raise ValueError(f"{volume.frames[0].file}: the {key} series has no FrameOfReferenceUID")
    patients = [source.slices[0].get("PatientID") for source in pair.values()]
    if patients[0] != patients[1]:
        raise ValueError(f"{folder}: fixed and moving series: expected one patient, got PatientID {patients}")
    return pair


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
