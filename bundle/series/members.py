"""The scans of a series: files, or the phases and volumes of a DICOM folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.formats import check_image_file
from bundle.formats.dicom import find_volumes

FEWEST = 2
SUFFIXES = re.compile(r"(\.nii|\.nrrd|\.nhdr|\.mh[ad])?(\.gz)?$", re.IGNORECASE)
DIRECT = "direct"  # folder of the independent registrations of neighbours, which no member may be named after
NOT_IN_NAMES = re.compile(r"[^\w.+-]+")  # of folders


@dataclass(frozen=True)
class Member:
    """One scan of a series.

    Args:
        name: of its result folder.
        file: scan, or DICOM folder.
        choice: series and phase of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
    """

    name: str
    file: str
    choice: str | None = None


def members_of_files(files: Sequence[str | Path]) -> list[Member]:
    """The members of a series in the order of their files, named after them.

    Files of one name are told apart by their folders. Raises: FileNotFoundError, ValueError: what is wrong with the
    header of which file, a file that is given twice, or fewer than two files.
    """
    paths = [os.path.abspath(file) for file in files]
    doubled = sorted({path for path in paths if paths.count(path) > 1})
    if doubled:
        raise ValueError(f"{doubled[0]}: expected every scan of the series once, found it twice")
    _check_count(len(paths), "the scans that are given")
    for file in files:
        check_image_file(file, option="--dicom_series")
    stems = [SUFFIXES.sub("", Path(path).name) for path in paths]
    names = [
        f"{Path(path).parent.name}_{stem}" if stems.count(stem) > 1 else stem
        for path, stem in zip(paths, stems, strict=True)
    ]
    return _distinct([Member(name, str(file)) for name, file in zip(names, files, strict=True)])


def members_of_dicom(folder: str | Path, series: str | None = None) -> list[Member]:
    """The members of a series in a DICOM folder: the phases of one DICOM series, or one volume of each of several.

    Phases are in the order of their numbers; volumes of several series in that of the numbers in their descriptions.

    Args:
        series: which DICOM series, of several: SeriesInstanceUID, or a regular expression that occurs in the
            SeriesDescription; it may match several.
    Raises: FileNotFoundError, ValueError: what `bundle.formats.dicom.find_volumes` raises, or fewer than two volumes.
    """
    volumes = find_volumes(folder, series, option="--dicom_series")
    _check_count(len(volumes), f"{folder}")
    one_series = len({volume.series.uid for volume in volumes}) == 1
    if not one_series:
        volumes = sorted(volumes, key=lambda volume: _natural(f"{volume.series.description} {volume.phase}"))
    members = []
    for number, volume in enumerate(volumes, start=1):
        text = volume.phase if one_series else " ".join(filter(None, [volume.series.description, volume.phase]))
        members.append(Member(text or str(number), str(folder), volume.choice))
    return _distinct(members)


def _check_count(count: int, where: str) -> None:
    if count < FEWEST:
        raise ValueError(f"{where}: expected {FEWEST} or more scans of a series, found {count}")


def _distinct(members: Sequence[Member]) -> list[Member]:
    """The members with names that can be folders, each different in any case and from `DIRECT`."""
    result: list[Member] = []
    taken = {DIRECT}
    for member in members:
        plain = NOT_IN_NAMES.sub("_", member.name).strip("._") or "scan"
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        result.append(Member(name, member.file, member.choice))
    return result


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key in which numbers go by their value: "CT 5%" before "CT 10%"."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text.casefold())
    return [(0, float(part), "") if part[:1].isdigit() else (1, 0.0, part) for part in parts if part]
