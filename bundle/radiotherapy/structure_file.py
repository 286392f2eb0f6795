"""RT Structure Sets: read, and written for another series."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from bundle.io import atomic_path
from bundle.io.dicom_objects import Source, carry, identify, new_series, read_object, references
from bundle.radiotherapy.checks import check_frame, check_patient
from bundle.radiotherapy.structures import Kind, Structure, StructureSet

log = logging.getLogger(__name__)

SERIES_NUMBER = 9003
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # of RTReferencedStudySequence, retired but required there
KINDS: dict[str, Kind] = {"CLOSED_PLANAR": "closed", "CLOSEDPLANAR_XOR": "closed", "POINT": "point"}
GEOMETRY = {"closed": "CLOSED_PLANAR", "point": "POINT"}
DIGITS = 4  # of a coordinate, mm
MIN_POINTS = 3
MAX_SH = 16  # characters of a label


def read_structures(path: str | Path, names: Sequence[str] = ()) -> StructureSet:
    """Read an RT Structure Set.

    Structures of another kind (open contours) are left out, with a warning, and so are contours of one or two points.

    Args:
        names: of the structures to read; all if empty.
    Raises: FileNotFoundError; ValueError for another object, or a name that no structure, or several, have, or if there
        is nothing to read.
    """
    data = read_object(path, RTStructureSetStorage)
    contours = {int(item.ReferencedROINumber): item.get("ContourSequence") or [] for item in _items(data, "ROIContour")}
    listed = [(int(item.ROINumber), str(item.get("ROIName", ""))) for item in _items(data, "StructureSetROI")]
    for name in names:
        if [found for _, found in listed].count(name) != 1:
            have = ", ".join(sorted(found for _, found in listed))
            raise ValueError(f"{path}: expected one structure {name!r}; there are: {have}")
    structures = [
        structure
        for number, name in listed
        if (not names or name in names) and (structure := _structure(path, number, name, contours.get(number, [])))
    ]
    if not any(structure.contours for structure in structures):
        raise ValueError(f"{path}: no structure with closed planar contours or points")
    return StructureSet(str(path), structures, data)


def _items(data: Dataset, name: str) -> Sequence[Dataset]:
    return data.get(f"{name}Sequence") or []


def _structure(path: str | Path, number: int, name: str, items: Sequence[Dataset]) -> Structure | None:
    """One structure; None if it is of a kind that cannot be carried."""
    found = {str(item.get("ContourGeometricType")) for item in items}
    kinds = {KINDS[kind] for kind in found & KINDS.keys()}
    if found - KINDS.keys() or len(kinds) > 1:
        log.warning("%s: structure %r is left out: its contours are %s", path, name, ", ".join(sorted(found)))
        return None
    if not items:
        log.warning("%s: structure %r has no contours", path, name)
        return Structure(number, name, "empty", [])
    (kind,) = kinds
    contours = [_points(path, name, item) for item in items]
    kept = [contour for contour in contours if len(contour) >= (MIN_POINTS if kind == "closed" else 1)]
    if len(kept) < len(contours):
        log.warning("%s: structure %r: %d contours without area left out", path, name, len(contours) - len(kept))
    return Structure(number, name, kind if kept else "empty", kept)


def _points(path: str | Path, name: str, item: Dataset) -> np.ndarray:
    values = np.array(item.get("ContourData") or [], dtype=np.float64).ravel()
    if len(values) % 3 or not np.isfinite(values).all():
        raise ValueError(
            f"{path}: structure {name!r}: expected finite x, y, z in ContourData, found {len(values)} values"
        )
    return values.reshape(-1, 3)


def check_references(structures: StructureSet, source: Source, *, any_series: bool = False) -> None:
    """Check that structures were drawn on a scan.

    Args:
        any_series: accept another series in the same frame of reference.
    Raises: ValueError naming what the file refers to: another patient, frame of reference or series, or slices that the
        series lacks.
    """
    data, path, series = structures.data, structures.path, source.volume.series
    check_patient(path, data, source)
    numbers = {structure.number for structure in structures.structures}
    frames = {
        str(item.get("ReferencedFrameOfReferenceUID"))
        for item in _items(data, "StructureSetROI")
        if int(item.ROINumber) in numbers
    }
    check_frame(path, frames, source)
    referenced = _referenced(data)
    if not any_series and referenced and series.uid not in referenced:
        raise ValueError(
            f"{path}: drawn on series {', '.join(sorted(referenced))}, expected {series.uid}; --any_series takes the "
            "structures as they are"
        )
    missing = referenced.get(series.uid, set()) - {str(slice_.SOPInstanceUID) for slice_ in source.slices}
    if missing:
        raise ValueError(f"{path}: {len(missing)} slices that it refers to are missing in series {series.uid}")


def _referenced(data: Dataset) -> dict[str, set[str]]:
    """The instances that a structure set says it was drawn on, by series."""
    return {
        str(series.get("SeriesInstanceUID")): {
            str(image.ReferencedSOPInstanceUID) for image in _items(series, "ContourImage")
        }
        for frame in _items(data, "ReferencedFrameOfReference")
        for study in _items(frame, "RTReferencedStudy")
        for series in _items(study, "RTReferencedSeries")
    }


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
        _roi(item, target) for item in _items(old, "StructureSetROI") if int(item.ROINumber) in kept
    ]
    colours = {int(item.ReferencedROINumber): item for item in _items(old, "ROIContour")}
    data.ROIContourSequence = [_contours(item, colours.get(item.number), target) for item in structures]
    observed = {int(item.ReferencedROINumber): item for item in _items(old, "RTROIObservations")}
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
