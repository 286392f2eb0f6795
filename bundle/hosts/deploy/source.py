"""The DICOM series that a registration is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bundle.formats.dicom import find_volume
from bundle.io.dicom_objects import Source, slice_headers

CT = "CT"


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
