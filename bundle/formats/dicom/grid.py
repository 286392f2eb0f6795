"""Order the slices of a series and check that they form a volume."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.formats.dicom.frames import Frame

ROUNDING_MM = 0.11  # positions rounded to 0.1 mm, and the line between two such positions
ROUNDING_STEPS = 0.4  # of the slice distance: the same for fine slices; a missing slice deviates by at least 0.5
EVEN_STEPS = 0.1  # allowed whatever the rounding
DOUBLED_STEPS = 0.25
MISSING_STEPS = 1.6
IN_PLANE_MM = 0.15  # positions rounded to 0.1 mm along two axes
IN_PLANE_PIXELS = 0.6  # the same for small pixels
IN_PLANE_SLOPE = 1e-3  # of the extent: a tilt of 0.06 degrees, as `ORTHONORMAL_TOLERANCE` of other formats
SAME_COSINES = 1e-3
SAME_SPACING = 1e-4  # relative
MAX_LISTED = 3


class Grid(NamedTuple):
    """ITK's geometry: size (3), spacing (3) mm, direction (3, 3) by column and origin (3), LPS mm."""

    size: list[int]
    spacing: list[float]
    direction: np.ndarray
    origin: list[float]


def stack_frames(name: str, frames: Sequence[Frame]) -> tuple[list[Frame], Grid]:
    """Frames in the order of their positions along the normal, and their grid, as ITK derives it from ordered slices.

    Args:
        name: folder or file, for errors.
        frames: at least two.
    Raises: ValueError if frames differ in grid or orientation, are missing, doubled or unevenly spaced, or are shifted
        against each other (gantry tilt).
    """
    _check_same(name, frames)
    axes = _axes(name, frames[0])
    offsets, order = offsets_mm(frames)
    ordered = [frames[index] for index in order]
    offsets = offsets[order]
    positions = np.array([frame.position for frame in ordered])
    _check_even(name, ordered, offsets)
    _check_in_plane(name, ordered, positions - positions[0] - np.outer(offsets, axes[:, 2]), offsets)
    spacing_z = float(np.linalg.norm(positions[-1] - positions[0])) / (len(ordered) - 1)
    spacing = frames[0].spacing or (math.nan, math.nan)
    grid = Grid([*frames[0].shape, len(ordered)], [*spacing, spacing_z], axes, positions[0].tolist())
    return ordered, grid


def offsets_mm(frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Position of each frame along the normal of the first, from the lowest, mm; and the order of the frames."""
    cosines = np.array(frames[0].cosines)
    normal = np.cross(cosines[:3], cosines[3:])
    offsets = np.array([frame.position for frame in frames]) @ (normal / (np.linalg.norm(normal) or 1.0))
    offsets -= offsets.min()
    return offsets, np.argsort(offsets, kind="stable")


def typical_step_mm(ordered_offsets: np.ndarray) -> float:
    """Median distance between neighbours at different positions; 0 if all positions are equal."""
    steps = np.diff(ordered_offsets)
    apart = steps[steps > 1e-3 * max(steps.max(initial=0.0), 1e-9)]
    return float(np.median(apart)) if len(apart) else 0.0


def step_of(frames: Sequence[Frame]) -> float:
    """`typical_step_mm` of the frames that have a position."""
    offsets, order = offsets_mm([frame for frame in frames if frame.position and frame.cosines])
    return typical_step_mm(offsets[order])


def doubled(ordered_offsets: np.ndarray) -> np.ndarray:
    """Whether each frame but the last lies where its successor lies."""
    is_doubled: np.ndarray = np.diff(ordered_offsets) <= DOUBLED_STEPS * typical_step_mm(ordered_offsets)
    return is_doubled


def is_even(ordered_offsets: np.ndarray) -> bool:
    """Whether distances are equal, with the rounding of positions to 0.1 mm allowed for."""
    step = (ordered_offsets[-1] - ordered_offsets[0]) / max(len(ordered_offsets) - 1, 1)
    away = np.abs(ordered_offsets - ordered_offsets[0] - step * np.arange(len(ordered_offsets))).max()
    return bool(step > 0 and away <= max(EVEN_STEPS * step, min(ROUNDING_MM, ROUNDING_STEPS * step)))


def differences(frame: Frame, first: Frame) -> Iterator[tuple[str, Sequence[float], Sequence[float]]]:
    """What of the grid in the plane differs between two frames that have one: its name and both values."""
    for what, found, expected, absolute, relative in (
        ("columns and rows", frame.shape, first.shape, 0.0, 0.0),
        ("pixel spacing, mm", frame.spacing or (), first.spacing or (), 0.0, SAME_SPACING),
        ("orientation", frame.cosines or (), first.cosines or (), SAME_COSINES, 0.0),
    ):
        if len(found) != len(expected) or not np.allclose(found, expected, atol=absolute, rtol=relative):
            yield what, found, expected


def frame_name(name: str, frame: Frame) -> str:
    """File of a frame relative to the folder, its number in a multi-frame file, and its position."""
    file = os.path.relpath(frame.file, name) if Path(name).is_dir() else Path(frame.file).name
    number = f" frame {frame.index + 1}" if frame.count > 1 else ""
    return f"{file}{number} at {_point(frame.position)} mm" if frame.position else f"{file}{number}"


def _check_same(name: str, frames: Sequence[Frame]) -> None:
    first = frames[0]
    for frame in frames:
        for keyword, value in (
            ("ImagePositionPatient", frame.position),
            ("ImageOrientationPatient", frame.cosines),
            ("PixelSpacing", frame.spacing),
        ):
            if value is None:
                raise ValueError(f"{name}: {frame_name(name, frame)}: expected {keyword}, found none")
        for what, found, expected in differences(frame, first):
            raise ValueError(
                f"{name}: {frame_name(name, frame)}: expected the {what} of {frame_name(name, first)}, "
                f"{_point(expected)}, found {_point(found)}"
            )


def _axes(name: str, frame: Frame) -> np.ndarray:
    """Direction (3, 3): along rows, along columns, normal, in columns."""
    x, y = np.reshape(np.array(frame.cosines), (2, 3))
    if not np.allclose([x @ x, y @ y, x @ y], [1, 1, 0], atol=SAME_COSINES):
        raise ValueError(
            f"{name}: {frame_name(name, frame)}: expected perpendicular unit vectors in ImageOrientationPatient, "
            f"found {_point(frame.cosines)}"
        )
    normal = np.cross(x, y)
    return np.column_stack([x / np.linalg.norm(x), y / np.linalg.norm(y), normal / np.linalg.norm(normal)])


def _check_even(name: str, frames: list[Frame], offsets: np.ndarray) -> None:
    same = np.flatnonzero(doubled(offsets))
    if len(same):
        first, second = frames[same[0]], frames[same[0] + 1]
        copies = " (copies of the same image)" if first.sop_uid and first.sop_uid == second.sop_uid else ""
        raise ValueError(
            f"{name}: {_plural(len(same), 'doubled slice')}: expected one slice at each position, found "
            f"{frame_name(name, first)} and {frame_name(name, second)}{copies}"
        )
    if is_even(offsets):
        return
    steps, typical = np.diff(offsets), typical_step_mm(offsets)
    holes = np.flatnonzero(steps > MISSING_STEPS * typical)
    worst = holes if len(holes) else np.array([np.abs(steps - typical).argmax()])
    places = "; ".join(
        f"{steps[index]:.3f} mm between {frame_name(name, frames[index])} and {frame_name(name, frames[index + 1])}"
        for index in worst[:MAX_LISTED]
    )
    if len(holes):
        count = int(sum(round(step / typical) - 1 for step in steps[holes]))
        raise ValueError(f"{name}: {_plural(count, 'missing slice')}: expected {typical:.3f} mm, found {places}")
    raise ValueError(f"{name}: unevenly spaced slices: expected {typical:.3f} mm (the median), found {places}")


def _check_in_plane(name: str, frames: list[Frame], shifts: np.ndarray, offsets: np.ndarray) -> None:
    """Check that slices lie above each other; `shifts` (N, 3): in the plane, mm, against the first."""
    pixel = min(frames[0].spacing or (math.nan,))
    tolerance = max(min(IN_PLANE_MM, IN_PLANE_PIXELS * pixel), IN_PLANE_SLOPE * offsets[-1])
    largest = np.linalg.norm(shifts, axis=1)
    if largest.max() <= tolerance:
        return
    slope = offsets @ shifts / (offsets @ offsets)
    apart = np.linalg.norm(shifts - np.outer(offsets, slope), axis=1)
    if apart.max() <= tolerance:
        raise ValueError(
            f"{name}: gantry tilt of {math.degrees(math.atan(np.linalg.norm(slope))):.1f} degrees: expected slices "
            f"stacked along their normal, found a shift of {largest.max():.2f} mm from {frame_name(name, frames[0])} "
            f"to {frame_name(name, frames[-1])}; resample the scan to a grid with perpendicular axes first"
        )
    worst = int(np.linalg.norm(np.diff(shifts, axis=0), axis=1).argmax())
    shift = np.linalg.norm(shifts[worst + 1] - shifts[worst])
    raise ValueError(
        f"{name}: shifted slices: expected slices stacked along their normal, found a shift of {shift:.2f} mm in the "
        f"plane between {frame_name(name, frames[worst])} and {frame_name(name, frames[worst + 1])}"
    )


def _point(values: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{value:.7g}" for value in values or ()) + ")"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
