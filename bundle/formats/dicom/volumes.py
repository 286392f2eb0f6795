"""All volumes of a DICOM folder: the phases of a 4DCT."""

from __future__ import annotations

from pathlib import Path

from bundle.formats.dicom.choice import OPTIONS, choose_series, series_matching
from bundle.formats.dicom.series import find_series
from bundle.formats.dicom.volume import DicomVolume, find_volume


def find_volumes(path: str | Path, choice: str | None = None, *, option: str = OPTIONS) -> list[DicomVolume]:
    """The phases of the series that a choice matches, CT before other modalities, in the order of their numbers.

    Args:
        choice: as in `find_volume`, without a phase; it may match several series.
        option: name of the option that holds the choice, for errors.
    Raises: what `find_volume` raises, also for a choice that matches no series.
    """
    all_series = find_series(path)
    chosen = series_matching(choice, all_series) or [choose_series(path, all_series, choice, option=option)]
    choices = [f"{series.uid}#{phase}" if phase else series.uid for series in chosen for phase in series.phases.frames]
    return [find_volume(path, name, option=option, quiet=True) for name in choices]
