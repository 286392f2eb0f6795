"""Structures of radiotherapy, read from RT Structure Sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from bundle.io.dicom_objects import Source, read_object
from bundle.radiotherapy.checks import check_frame, check_patient

log = logging.getLogger(__name__)

Kind = Literal["closed", "point", "empty"]

KINDS: dict[str, Kind] = {"CLOSED_PLANAR": "closed", "CLOSEDPLANAR_XOR": "closed", "POINT": "point"}
MIN_POINTS = 3
LINE_MM = 1e-3  # root of the sum of squares by which the points of a contour leave a line; below it has no area


@dataclass(frozen=True)
class Structure:
    """A region of interest.

    Args:
        number, name: as in its file.
        kind: closed planar contours, single points, or nothing drawn.
        contours: points (N, 3) of each contour, LPS mm. Of several in one plane, a place inside an odd number of them
            is inside the structure: inner contours are holes, and so are the inner parts of keyhole contours.
    """

    number: int
    name: str
    kind: Kind
    contours: list[np.ndarray]


@dataclass(frozen=True)
class StructureSet:
    """The structures of a file, and what else the file says about them."""

    path: str
    structures: list[Structure]
    data: Dataset


def read_structures(path: str | Path, names: Sequence[str] = ()) -> StructureSet:
    """Read an RT Structure Set.

    Structures of another kind (open contours) are left out, with a warning, and so are contours without area and copies
    of others.

    Args:
        names: of the structures to read; all if empty.
    Raises: FileNotFoundError; ValueError for another object, or a name that no structure, or several, have, or if there
        is nothing to read, or structures are not told apart by their numbers.
    """
    data = read_object(path, RTStructureSetStorage)
    drawn = _by_number(path, items_of(data, "ROIContour"), "ReferencedROINumber")
    contours = {number: item.get("ContourSequence") or [] for number, item in drawn.items()}
    rois = _by_number(path, items_of(data, "StructureSetROI"), "ROINumber")
    listed = [(number, str(item.get("ROIName", ""))) for number, item in rois.items()]
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


def _by_number(path: str | Path, items: Sequence[Dataset], keyword: str) -> dict[int, Dataset]:
    """Items by their number. Raises: ValueError if one has none, or two have the same."""
    numbers = [item.get(keyword) for item in items]
    if None in numbers or len({int(number) for number in numbers}) < len(numbers):
        raise ValueError(f"{path}: expected a {keyword} of its own for every structure, found {numbers}")
    return {int(number): item for number, item in zip(numbers, items, strict=True)}


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
    kept = [contour for contour in contours if (_has_area(contour) if kind == "closed" else len(contour))]
    if len(kept) < len(contours):
        log.warning("%s: structure %r: %d contours without area left out", path, name, len(contours) - len(kept))
    once = list({contour.tobytes(): contour for contour in kept}.values())  # two copies would cancel each other
    if kind == "closed" and len(once) < len(kept):
        log.warning("%s: structure %r: %d copies of contours left out", path, name, len(kept) - len(once))
        kept = once
    return Structure(number, name, kind if kept else "empty", kept)


def _has_area(points: np.ndarray) -> bool:
    """Whether a contour (N, 3) has points beside a line."""
    if len(points) < MIN_POINTS:
        return False
    _, across_mm, _ = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(across_mm > LINE_MM)


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
        for item in items_of(data, "StructureSetROI")
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
            str(image.ReferencedSOPInstanceUID) for image in items_of(series, "ContourImage")
        }
        for frame in items_of(data, "ReferencedFrameOfReference")
        for study in items_of(frame, "RTReferencedStudy")
        for series in items_of(study, "RTReferencedSeries")
    }


def items_of(data: Dataset, name: str) -> Sequence[Dataset]:
    """The items of a sequence, given without that word; none if it is not there."""
    return data.get(f"{name}Sequence") or []
