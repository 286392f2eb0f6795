"""Images within a series that are no slices of its volume: screen saves, reformatted images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bundle.formats.dicom.frames import Frame
from bundle.formats.dicom.grid import differences

MOST_STRAYS = 0.25  # per slice of the volume; more may be a volume of their own


def without_strays(frames: Sequence[Frame]) -> list[Frame]:
    """The frames without the few that are of another kind (ImageType) than all slices and lie on no grid or another.

    A slice that lost its position or its orientation is of the same kind as the others, or ORIGINAL: it stays, and is
    refused where the volume is stacked, since without it the volume would have a hole or be shorter.
    """
    planes = Counter(_plane(frame) for frame in frames if _has_place(frame))
    if not planes:
        return list(frames)
    most_common = planes.most_common(1)[0][0]
    first = next(frame for frame in frames if _has_place(frame) and _plane(frame) == most_common)

    def is_slice(frame: Frame) -> bool:
        return _has_place(frame) and not any(differences(frame, first))

    def may_be_slice(frame: Frame) -> bool:
        return not _has_place(frame) and frame.shape == first.shape and not _is_derived(frame)

    kinds = {frame.kind for frame in frames if is_slice(frame)}
    kept = [frame for frame in frames if is_slice(frame) or frame.kind in kinds or may_be_slice(frame)]
    return kept if len(frames) - len(kept) <= MOST_STRAYS * len(kept) else list(frames)


def _plane(frame: Frame) -> tuple[tuple[float, ...], ...]:
    return frame.shape, tuple(round(value, 2) + 0.0 for value in frame.cosines or ())


def _has_place(frame: Frame) -> bool:
    return bool(frame.position and frame.cosines and frame.spacing)


def _is_derived(frame: Frame) -> bool:
    return "DERIVED" in frame.kind or "SECONDARY" in frame.kind
