"""Checks that a radiotherapy object belongs to a scan."""

from __future__ import annotations

import logging
from collections.abc import Set

from pydicom import Dataset

from bundle.io.dicom_objects import Source
from bundle.radiotherapy.dose import Dose

log = logging.getLogger(__name__)


def check_patient(path: str, data: Dataset, source: Source) -> None:
    """Raises: ValueError if an object and a scan have different PatientIDs."""
    patient, found = source.slices[0].get("PatientID"), data.get("PatientID")
    if (found or "") != (patient or ""):
        raise ValueError(f"{path}: expected PatientID {patient!r} as in the scan, found {found!r}")


def check_frame(path: str, frames: Set[str], source: Source) -> None:
    """Raises: ValueError if an object lies in other frames of reference than a scan."""
    if frames != {source.frame_of_reference}:
        found = ", ".join(sorted(frames)) or "none"
        raise ValueError(
            f"{path}: expected frame of reference {source.frame_of_reference} of the scan that it is carried from, "
            f"found {found}; objects of the moving scan are carried to the fixed one, by --inverse those of the fixed "
            "scan to the moving one"
        )


def check_dose(dose: Dose, source: Source, target: Source) -> None:
    """Check that a dose belongs to the source scan, and warn where nothing tells it from a dose on the target scan.

    Raises: ValueError if it is of another patient or frame of reference.
    """
    check_patient(dose.path, dose.data, source)
    check_frame(dose.path, {str(dose.data.get("FrameOfReferenceUID"))}, source)
    if source.slices is not target.slices and source.frame_of_reference == target.frame_of_reference:
        series = source.volume.choice
        log.warning("%s: taken for a dose on series %s; both scans have its frame of reference", dose.path, series)
