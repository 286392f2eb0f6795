"""Attributes common to all DICOM objects of a registration: patient, study, series, references."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from bundle import __version__

MANUFACTURER = "The lung registration bundle's authors"
MODEL_NAME = "Lung CT registration with RRN"
CARRIED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "BodyPartExamined",
    "Laterality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
NEVER_ABSENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)  # type 2 attributes of DICOM: empty if unknown
MAX_LO = 64  # maximum characters of a description


def new_series(fixed: Dataset, *, modality: str, number: int, description: str) -> Dataset:
    """Attributes of all instances of a new series in the study and frame of reference of `fixed`.

    Text is written as UTF-8, independent of the scan's character set.
    """
    series = Dataset()
    series.SpecificCharacterSet = "ISO_IR 192"
    carry(series, fixed, CARRIED)
    for keyword in NEVER_ABSENT:
        if keyword not in series:
            setattr(series, keyword, "")
    now = datetime.datetime.now()
    for group in ("Series", "Content", "InstanceCreation"):
        setattr(series, f"{group}Date", now.strftime("%Y%m%d"))
        setattr(series, f"{group}Time", now.strftime("%H%M%S"))
    series.Modality = modality
    series.SeriesInstanceUID = generate_uid()
    series.SeriesNumber = number
    series.SeriesDescription = description[:MAX_LO]
    series.Manufacturer = MANUFACTURER
    series.ManufacturerModelName = MODEL_NAME
    series.SoftwareVersions = __version__
    series.DeviceSerialNumber = "none"
    return series


def carry(target: Dataset, source: Dataset, keywords: Sequence[str]) -> None:
    """Copy the existing attributes of `source`."""
    for keyword in keywords:
        if keyword in source:
            setattr(target, keyword, source[keyword].value)


def identify(instance: Dataset, *, sop_class: UID, number: int) -> None:
    """Set the SOP class, a new SOP instance UID and the file meta information of an instance."""
    instance.SOPClassUID = sop_class
    instance.SOPInstanceUID = generate_uid()
    instance.InstanceNumber = number
    instance.file_meta = FileMetaDataset()
    instance.file_meta.MediaStorageSOPClassUID = sop_class
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def refer(instance: Dataset, sources: Sequence[Dataset]) -> None:
    """List the source instances by series; those of other studies in their own sequence, as DICOM requires."""
    by_study = groupby(sources, key=lambda source: source.StudyInstanceUID)
    for study_uid, in_study in by_study:
        by_series = groupby(in_study, key=lambda source: source.SeriesInstanceUID)
        items = [_series_item(uid, list(in_series)) for uid, in_series in by_series]
        if study_uid == instance.StudyInstanceUID:
            instance.ReferencedSeriesSequence = [*instance.get("ReferencedSeriesSequence", []), *items]
        else:
            other = Dataset()
            other.StudyInstanceUID = study_uid
            other.ReferencedSeriesSequence = items
            instance.StudiesContainingOtherReferencedInstancesSequence = [other]


def _series_item(series_uid: str, sources: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_uid
    item.ReferencedInstanceSequence = references(sources)
    for instance in item.ReferencedInstanceSequence:
        instance.pop("ReferencedFrameNumber", None)  # it lists instances as a whole
    return item


def references(sources: Sequence[Dataset]) -> list[Dataset]:
    """Reference items of instances, each once; of a multi-frame instance with the numbers of the frames."""
    items: dict[str, Dataset] = {}
    for source in sources:
        item = items.setdefault(source.SOPInstanceUID, Dataset())
        item.ReferencedSOPClassUID = source.SOPClassUID
        item.ReferencedSOPInstanceUID = source.SOPInstanceUID
        if "ReferencedFrameNumber" in source:
            numbers = [*np.atleast_1d(item.get("ReferencedFrameNumber", [])), source.ReferencedFrameNumber]
            item.ReferencedFrameNumber = sorted({int(number) for number in numbers})
    return list(items.values())


def coded(code: Code) -> list[Dataset]:
    """Sequence with one code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return [item]
