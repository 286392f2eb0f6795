"""The volume of a DICOM series."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.formats.dicom.choice import OPTIONS, choose_phase, choose_series
from bundle.formats.dicom.frames import Frame
from bundle.formats.dicom.grid import MAX_LISTED, Grid, frame_name, stack_frames
from bundle.formats.dicom.series import Series, find_series
from bundle.formats.dicom.syntax import check_syntax
from bundle.formats.file_header import check_geometry, check_shape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DicomVolume:
    """The ordered slices of a volume, their grid, their series and the name of their phase, empty if there is one."""

    frames: list[Frame]
    grid: Grid
    series: Series
    phase: str

    @property
    def choice(self) -> str:
        """The choice that `find_volume` finds it by."""
        return f"{self.series.uid}#{self.phase}" if self.phase else self.series.uid

    @property
    def origin(self) -> dict[str, str]:
        """What was read, for the metadata of the scan."""
        return {
            "dicom_series": self.series.uid,
            "dicom_description": self.series.description,
            "dicom_phase": self.phase,
        }


def find_volume(
    path: str | Path, choice: str | None = None, *, option: str = OPTIONS, quiet: bool = False
) -> DicomVolume:
    """The volume in a DICOM folder, searched with its subfolders, or in a multi-frame file.

    Args:
        choice: series to read, of several: its SeriesInstanceUID, its SeriesDescription or a part of it, or a
            regular expression that occurs there, in any case. `#` and a name choose a phase of the series: `UID#30`, or
            only `#30`.
        option: name of the option that holds the choice, for errors.
        quiet: do not log what else lies in the folder.
    Raises: FileNotFoundError if there is no DICOM file; ValueError listing the series if none or several are meant, and
        what `stack_frames`, `check_syntax` and `check_geometry` raise.
    """
    all_series = find_series(path)
    series = choose_series(path, all_series, choice, option=option)
    phase, frames = choose_phase(path, series, choice, option=option)
    for file, syntax in {frame.file: frame.syntax for frame in frames}.items():
        check_syntax(file, syntax)
    ordered, grid = stack_frames(str(path), frames)
    check_shape(path, grid.size)
    check_geometry(str(path), np.array(grid.spacing), grid.direction)
    if not quiet:
        _log_the_rest(path, all_series, series)
    return DicomVolume(ordered, grid, series, phase)


def _log_the_rest(path: str | Path, all_series: list[Series], series: Series) -> None:
    others = [str(other) for other in all_series if other is not series]
    if others:
        log.info("%s: reads series %s; not read: %s", path, series, "; ".join(others))
    if dropped := series.left_out:
        names = ", ".join(frame_name(str(path), frame) for frame in dropped[:MAX_LISTED])
        what = "localizers, colour images and images on another grid"
        more = ", ..." if len(dropped) > MAX_LISTED else ""
        log.info("%s: %d %s of series %s are not read: %s%s", path, len(dropped), what, series.uid, names, more)
