"""Several volumes in one series: breathing or cardiac phases, acquisitions, kernels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bundle.formats.dicom.frames import PHASES, STACK, Frame
from bundle.formats.dicom.grid import doubled, is_even, offsets_mm, typical_step_mm

BY_ORDER = "order of InstanceNumber"  # where no attribute tells repeated positions apart
BY_FOLDER = "folder"  # where InstanceNumber does not either
FEWEST = 3  # two slices are always evenly spaced
SAME_EXTENT_STEPS = 1.5  # interleaved phases begin less than a step apart, one may have a slice more


class Phases(NamedTuple):
    """Frames by phase, and the attribute that tells the phases apart; one phase, without a name, of most series."""

    attribute: str
    frames: dict[str, list[Frame]]

    @property
    def names(self) -> str:
        return ", ".join(f"'{name}'" if "," in name else name for name in self.frames)


def split_phases(frames: Sequence[Frame]) -> Phases:
    """Split frames at repeated or interleaved positions by the attribute that gives the fewest volumes without them.

    Volumes that are complete each may interleave to even distances: half a slice apart, they look like one volume.
    Frames that no attribute, no order of InstanceNumber and no folder tells apart stay together.
    """
    one = Phases("", {"": list(frames)})
    if any(frame.position is None or frame.cosines is None for frame in frames):
        return one
    offsets, order = offsets_mm(frames)
    by_attribute = {name: _grouped(frames, [frame.phase.get(name, "") for frame in frames]) for name in PHASES}
    by_attribute = {name: groups for name, groups in by_attribute.items() if "" not in groups}
    by_folder = _by_folder(frames)
    if is_even(offsets[order]) and not doubled(offsets[order]).any():
        whole = [
            Phases(name, groups)
            for name, groups in {**by_attribute, BY_FOLDER: by_folder}.items()
            if _are_complete(groups, offsets, frames)
        ]
        return min(whole, key=lambda phases: len(phases.frames), default=one)
    found = [
        Phases(name, groups)
        for name, groups in by_attribute.items()
        if _are_phases(list(groups.values()), offsets, frames, may_lie_apart=name == STACK)
    ]
    ordered = [frames[index] for index in order]
    if groups := _by_order(ordered, doubled(offsets[order]).tolist()):
        found.append(Phases(BY_ORDER, groups))
    if found:
        return min(found, key=lambda phases: len(phases.frames))  # a trigger time differs between slices of one phase
    if len({frame.sop_uid for frame in frames}) == len(frames) and _are_phases(
        list(by_folder.values()), offsets, frames
    ):
        return Phases(BY_FOLDER, by_folder)
    return one


def _by_folder(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    folders = [os.path.dirname(frame.file) for frame in frames]
    return _grouped(frames, [os.path.relpath(folder, os.path.commonpath(folders)) for folder in folders])


def _grouped(frames: Sequence[Frame], names: Sequence[str]) -> dict[str, list[Frame]]:
    groups: dict[str, list[Frame]] = {name: [] for name in sorted(set(names), key=_sort_key)}
    for frame, name in zip(frames, names, strict=True):
        groups[name].append(frame)
    return groups


def _are_phases(
    groups: list[list[Frame]], offsets: np.ndarray, frames: Sequence[Frame], *, may_lie_apart: bool = False
) -> bool:
    """Whether there are several groups, each of several positions, none of them twice, and some groups overlap."""
    place = {(frame.file, frame.index): offset for frame, offset in zip(frames, offsets, strict=True)}
    ranges = []
    for group in groups:
        own, order = offsets_mm(group)
        if len(group) < 2 or doubled(own[order]).any():
            return False
        inside = [place[frame.file, frame.index] for frame in group]
        ranges.append((min(inside), max(inside)))
    ranges.sort()
    overlap = any(following[0] < previous[1] for previous, following in pairwise(ranges))
    return len(groups) > 1 and (overlap or may_lie_apart)


def _are_complete(groups: dict[str, list[Frame]], offsets: np.ndarray, frames: Sequence[Frame]) -> bool:
    """Whether there are several groups, each evenly spaced over the extent of all but for a slice distance."""
    place = {(frame.file, frame.index): offset for frame, offset in zip(frames, offsets, strict=True)}
    for group in groups.values():
        own = np.sort([place[frame.file, frame.index] for frame in group])
        if len(own) < FEWEST or not is_even(own):
            return False
        if max(own[0] - offsets.min(), offsets.max() - own[-1]) > SAME_EXTENT_STEPS * typical_step_mm(own):
            return False
    return len(groups) > 1


def _by_order(ordered: list[Frame], is_doubled: list[bool]) -> dict[str, list[Frame]]:
    """Phases of a series in which every position is repeated equally often by different images."""
    places = [[ordered[0]]]
    for frame, same in zip(ordered[1:], is_doubled, strict=True):
        if same:
            places[-1].append(frame)
        else:
            places.append([frame])
    repeats = {len(place) for place in places}
    if len(places) < 2 or len(repeats) != 1 or repeats == {1}:
        return {}
    for place in places:
        place.sort(key=lambda frame: (frame.number, frame.index))
        if len({(frame.sop_uid, frame.index) for frame in place}) < len(place):
            return {}  # copies of a file
        if len({(frame.number, frame.index) for frame in place}) < len(place):
            return {}
    return {str(number + 1): list(phase) for number, phase in enumerate(zip(*places, strict=True))}


def _sort_key(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), "")
    except ValueError:
        return (1, 0.0, name)
