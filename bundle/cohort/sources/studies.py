"""Exhale and inhale of a study, told apart by lung volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from bundle.formats.dicom import find_volume, is_dicom
from bundle.formats.dicom.series import find_series
from bundle.lung import find_lungs, volume_ml
from bundle.refusals import reason_of
from bundle.series import Member
from bundle.series.registration import read

ALIKE = 0.05  # of a volume: reconstructions of one breath
LEAST_RATIO = 1.1  # of inhale to exhale: below, they may be one breath
HOW = "the folder of a study holds one exhale and one inhale scan"


@dataclass(frozen=True)
class Study:
    """Scans among which an exhale and an inhale scan are.

    Args:
        name: of the pair.
        files: scans, or folders with DICOM series.
    """

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A scan of a study.

    Args:
        member: its file, and the DICOM series in it; its name is for people.
        study: StudyInstanceUID, empty of other formats.
        kernel: of the reconstruction, if it is known.
        slice_mm: distance of the slices.
    """

    member: Member
    study: str = ""
    kernel: str = ""
    slice_mm: float = 0.0


def find_studies(folder: Path) -> list[Study]:
    """The studies in a folder: one in each of its subfolders. Raises: ValueError if there is nothing of that kind."""
    places = [place for place in sorted(folder.iterdir()) if not place.name.startswith(".")]
    if any(place.is_file() and is_dicom(place) for place in places):
        return [Study(folder.name, (str(folder),))]
    studies = [Study(place.name, (str(place),)) for place in places if place.is_dir()]
    if not studies:
        raise ValueError(f"{folder}: expected a pairs.json, a BIDS folder or a folder for each DICOM study, found none")
    return studies


class BreathSorter:
    """Makes the pairs of a study: the scan with the larger lungs is fixed, the other moving."""

    def __call__(self, item: Mapping[str, Any], following: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The pairs of a study, as rows of `write_table`.

        Args:
            item: name and files of a study.
            following: is ignored: nothing is read ahead.
        Raises: FileNotFoundError, ValueError: why there is no pair.
        """
        by_study: dict[str, list[Candidate]] = {}
        for file in item["files"]:
            for candidate in candidates_of(file):
                by_study.setdefault(candidate.study, []).append(candidate)
        pairs, reasons = [], []
        for candidates in by_study.values():
            try:
                pairs.append(choose_pair(candidates, lungs_ml(candidates)))
            except ValueError as error:
                reasons.append(str(error))
        if not pairs:
            raise ValueError("; ".join(reasons) or f"{', '.join(item['files'])}: no CT volume; {HOW}")
        names = [item["name"]] if len(pairs) == 1 else [f"{item['name']}_{n}" for n in range(1, len(pairs) + 1)]
        return {"pairs": [{"name": name, **pair} for name, pair in zip(names, pairs, strict=True)]}


def candidates_of(file: str) -> list[Candidate]:
    """A scan, or the CT volumes of a DICOM folder that can be read. Raises: FileNotFoundError if there is nothing."""
    if not Path(file).is_dir():
        return [Candidate(Member(Path(file).name, file))]
    found = []
    for series in find_series(file):
        if series.modality != "CT" or series.not_a_volume or series.fault:
            continue
        header = pydicom.dcmread(series.first.file, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
        for phase in series.phases.frames:
            choice = f"{series.uid}#{phase}" if phase else series.uid
            try:
                volume = find_volume(file, choice, quiet=True)
            except ValueError:  # slices are missing
                continue
            name = " ".join(filter(None, [series.description, phase]))
            kernel = str(volume.frames[0].phase.get("ConvolutionKernel") or "")
            study = str(header.get("StudyInstanceUID", ""))
            found.append(Candidate(Member(name or series.uid, file, choice), study, kernel, volume.grid.spacing[2]))
    return found


def lungs_ml(candidates: Sequence[Candidate]) -> list[float]:
    """The lung volume of each scan, ml; 0 without lungs. Raises: ValueError naming a scan that cannot be read."""
    volumes = []
    for candidate in candidates:
        try:
            lungs = find_lungs(read(candidate.member))
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            if reason is None:
                raise
            raise ValueError(reason) from error
        volumes.append(0.0 if lungs is None else volume_ml(lungs))
    return volumes


def choose_pair(candidates: Sequence[Candidate], volumes_ml: Sequence[float]) -> dict[str, str]:
    """The scan with the largest lungs and the one with the smallest, as a row of `write_table`.

    Of several reconstructions of a breath, those with one kernel are taken, then those with the thinnest slices.

    Raises: ValueError if there are no two scans with lungs of different size.
    """
    scans = [(scan, ml) for scan, ml in zip(candidates, volumes_ml, strict=True) if ml > 0]
    listing = ", ".join(f"{scan.member.name!r} {ml:.0f} ml" for scan, ml in zip(candidates, volumes_ml, strict=True))
    where = candidates[0].member.file
    if len(scans) < 2:
        raise ValueError(f"{where}: expected two scans with lungs, found {listing}; {HOW}")
    high, low = max(ml for _, ml in scans), min(ml for _, ml in scans)
    if high < LEAST_RATIO * low:
        raise ValueError(f"{where}: expected an exhale and an inhale scan, found lungs of one size: {listing}")
    inhale = [(scan, ml) for scan, ml in scans if ml >= (1 - ALIKE) * high]
    exhale = [(scan, ml) for scan, ml in scans if ml <= (1 + ALIKE) * low]
    (fixed, fixed_ml), (moving, moving_ml) = min(
        ((first, second) for first in inhale for second in exhale),
        key=lambda pair: (pair[0][0].kernel != pair[1][0].kernel, pair[0][0].slice_mm + pair[1][0].slice_mm),
    )
    row = {"fixed": fixed.member.file, "moving": moving.member.file}
    row |= {"fixed_series": fixed.member.choice or "", "moving_series": moving.member.choice or ""}
    row |= {"fixed_lungs_ml": f"{fixed_ml:.0f}", "moving_lungs_ml": f"{moving_ml:.0f}"}
    note = f"inhale {fixed.member.name!r}, exhale {moving.member.name!r}"
    return row | {"note": note + (f"; all: {listing}" if len(candidates) > 2 else "")}
