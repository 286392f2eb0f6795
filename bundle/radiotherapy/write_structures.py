"""RT Structure Sets written for another series."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from bundle.io import atomic_path
from bundle.io.dicom_objects import Source, carry, identify, new_series, references
from bundle.radiotherapy.structures import Structure, StructureSet, items_of

SERIES_NUMBER = 9003
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # of RTReferencedStudySequence, retired but required there
GEOMETRY = {"closed": "CLOSED_PLANAR", "point": "POINT"}
DIGITS = 4  # of a coordinate, mm
MAX_SH = 16  # characters of a label


def write_structures(path: str | Path, structures: Sequence[Structure], like: StructureSet, target: Source) -> None:
    """Write carried structures as an RT Structure Set of another series.

    Names, numbers, colours, descriptions and types are kept; the approval is not.

    Args:
        structures: on the slices of the target, see `carry_structures`.
        like: the structure set that they were read from.
        target: the series that they lie on.
    """
    old, first = like.data, target.slices[0]
    label = str(old.get("StructureSetLabel") or "carried")
    data = new_series(first, modality="RTSTRUCT", number=SERIES_NUMBER, description=f"{label} (carried)")
    identify(data, sop_class=RTStructureSetStorage, number=1)
    del data.ContentDate, data.ContentTime  # of a structure set they have names of their own
    now = datetime.datetime.now()
    data.OperatorsName = ""
    data.StructureSetLabel = label[:MAX_SH]
    carry(data, old, ("StructureSetName",))
    data.StructureSetDescription = "Carried by deformable registration; research use only"
    data.StructureSetDate, data.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.ApprovalStatus = "UNAPPROVED"
    predecessor = Dataset()
    predecessor.ReferencedSOPClassUID, predecessor.ReferencedSOPInstanceUID = old.SOPClassUID, old.SOPInstanceUID
    data.PredecessorStructureSetSequence = [predecessor]
    data.ReferencedFrameOfReferenceSequence = [_frame(target)]
    kept = {structure.number for structure in structures}
    data.StructureSetROISequence = [
        _roi(item, target) for item in items_of(old, "StructureSetROI") if int(item.ROINumber) in kept
    ]
    colours = {int(item.ReferencedROINumber): item for item in items_of(old, "ROIContour")}
    data.ROIContourSequence = [_contours(item, colours.get(item.number), target) for item in structures]
    observed = {int(item.ReferencedROINumber): item for item in items_of(old, "RTROIObservations")}
    data.RTROIObservationsSequence = [
        _observation(number, observed.get(item.number), item) for number, item in enumerate(structures, 1)
    ]
    with atomic_path(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)


def _frame(target: Source) -> Dataset:
    """The series that the structures lie on."""
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = target.volume.series.uid
    series.ContourImageSequence = references(target.slices)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_CLASS, target.slices[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = target.frame_of_reference
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(old: Dataset, target: Source) -> Dataset:
    roi = Dataset()
    carry(roi, old, ("ROINumber", "ROIName", "ROIDescription"))
    roi.ReferencedFrameOfReferenceUID = target.frame_of_reference
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    roi.ROIGenerationDescription = "Carried by deformable registration"
    return roi


def _contours(structure: Structure, old: Dataset | None, target: Source) -> Dataset:
    """Colour and contours of a structure, each with the slice that it lies in."""
    roi = Dataset()
    if old is not None:
        carry(roi, old, ("ROIDisplayColor",))
    roi.ReferencedROINumber = structure.number
    if not structure.contours:
        return roi
    to_slice = np.linalg.inv(target.affine.numpy())[2]
    items = []
    for points in structure.contours:
        item = Dataset()
        if structure.kind == "closed":
            number = round(float(np.append(points[0] * [-1, -1, 1], 1.0) @ to_slice))
            item.ContourImageSequence = references([target.slices[number]])
        item.ContourGeometricType = GEOMETRY[structure.kind]
        item.NumberOfContourPoints = len(points)
        item.ContourData = [f"{value:.{DIGITS}f}" for value in points.ravel()]
        items.append(item)
    roi.ContourSequence = items
    return roi


def _observation(number: int, old: Dataset | None, structure: Structure) -> Dataset:
    """Type of a structure, and what else was observed of it."""
    item = Dataset() if old is None else deepcopy(old)
    item.ObservationNumber, item.ReferencedROINumber = number, structure.number
    for keyword in ("RTROIInterpretedType", "ROIInterpreter"):  # type 2
        if keyword not in item:
            setattr(item, keyword, "")
    for keyword in ("RTRelatedROISequence", "RelatedRTROIObservationsSequence"):  # they refer by other numbers
        item.pop(keyword, None)
    return item
