"""The series in a folder of DICOM files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bundle.formats.dicom.frames import Frame
from bundle.formats.dicom.grid import step_of
from bundle.formats.dicom.instances import NO_SCANS, Instance, read_instance
from bundle.formats.dicom.phases import Phases, split_phases
from bundle.formats.dicom.strays import without_strays

SUFFIXES = (".dcm", ".dicom", ".ima")  # a file of such a name that is no DICOM was damaged on its way


@dataclass(frozen=True)
class Series:
    """The files of one SeriesInstanceUID."""

    instances: list[Instance]

    @property
    def uid(self) -> str:
        return self.instances[0].series_uid

    @cached_property
    def first(self) -> Instance:
        """The first file of the volume, if there is one: a screen save may have another modality and description."""
        files = {frame.file for frame in self.frames}
        return next((instance for instance in self.instances if instance.file in files), self.instances[0])

    @property
    def description(self) -> str:
        return self.first.description

    @property
    def descriptions(self) -> set[str]:
        """They may differ between the phases of a series."""
        return {instance.description for instance in self.instances}

    @property
    def modality(self) -> str:
        return self.first.modality

    @property
    def fault(self) -> str:
        """Why a file of the series cannot be used; empty if all can."""
        return next((instance.fault for instance in self.instances if instance.fault), "")

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames of a volume: no localizers, no colour images, no strays."""
        instances = [instance for instance in self.instances if not instance.is_color]
        return without_strays([frame for instance in instances for frame in instance.frames if not frame.is_localizer])

    @property
    def left_out(self) -> list[Frame]:
        kept = {(frame.file, frame.index) for frame in self.frames}
        frames = [frame for instance in self.instances for frame in instance.frames]
        return [frame for frame in frames if (frame.file, frame.index) not in kept]

    @cached_property
    def phases(self) -> Phases:
        return split_phases(self.frames)

    @cached_property
    def not_a_volume(self) -> str:
        """Why the series is no volume; empty if it is one."""
        if any(instance.fault and not instance.frames for instance in self.instances):
            return ""  # unknown
        if self.modality in NO_SCANS or not any(instance.frames for instance in self.instances):
            return "no scan"
        if all(instance.is_color for instance in self.instances):
            return "colour"
        if not self.frames:
            return "localizer"
        planes: dict[tuple[float, ...], list[Frame]] = {}
        for frame in self.frames:
            if frame.position and frame.cosines:
                planes.setdefault(tuple(round(value, 2) for value in frame.cosines), []).append(frame)
        if not planes:
            return "no positions"
        return "" if any(step_of(plane) > 0 for plane in planes.values()) else "a single slice position"

    def __str__(self) -> str:
        kernel = next((f", kernel {k}" for f in self.frames if (k := f.phase.get("ConvolutionKernel"))), "")
        name = f"{self.uid or 'no UID'} {self.description!r}, {self.modality}{kernel}, "
        if self.fault:
            return f"{name}{len(self.instances)} files, one of them damaged"
        if self.not_a_volume:
            return f"{name}{len(self.frames) or len(self.instances)} images ({self.not_a_volume})"
        frames = next(iter(self.phases.frames.values()))
        voxel = " x ".join(f"{size:.4g}" for size in (*(frames[0].spacing or ()), step_of(frames)))
        parts = f", phases by {self.phases.attribute}: {self.phases.names}" if self.phases.attribute else ""
        return f"{name}{len(self.frames)} slices, {voxel} mm{parts}"


def find_series(path: str | Path) -> list[Series]:
    """The series in a folder and its subfolders, or of one file.

    Raises: FileNotFoundError if there is no DICOM file; ValueError naming a file whose header is damaged.
    """
    by_uid: dict[str, list[Instance]] = {}
    for file in sorted(_files(Path(path))):
        instance = read_instance(file)
        if instance is not None:
            by_uid.setdefault(instance.series_uid, []).append(instance)
        elif file.suffix.lower() in SUFFIXES and not file.name.startswith("._"):  # those are macOS's
            raise ValueError(f"{file}: expected DICOM by its name, found an empty file or another format")
    if not by_uid and Path(path).is_file():
        raise ValueError(f"{path}: expected an image, found a DICOMDIR or no DICOM; give the folder of the images")
    if not by_uid:
        raise FileNotFoundError(f"{path}: no DICOM file in this folder")
    return [Series(instances) for instances in by_uid.values()]


def _files(path: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders; each folder once, though symbolic links lead to it."""
    if path.is_file():
        yield path
        return
    visited = set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        visited.add(os.path.realpath(folder))
        subfolders[:] = [name for name in subfolders if os.path.realpath(os.path.join(folder, name)) not in visited]
        yield from (file for name in names if (file := Path(folder, name)).is_file())
