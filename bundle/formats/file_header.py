"""What the header of an image file states, and the checks that all formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ORTHONORMAL_TOLERANCE = 1e-3  # of cosines: above the rounding of float32 headers, below a gantry tilt of 0.1 degrees
MAX_AXES = 8  # NIfTI holds 7; more is a damaged header
MIN_SPACING_MM, MAX_SPACING_MM = 1e-3, 1e3  # of a voxel: finer than microscopes of whole organs, longer than a patient
MAX_VOXELS = 1 << 31  # 1024 x 1024 x 2048; larger numbers come from damaged headers and would fill the memory
UNITS_MM = {
    "m": 1e3,
    "meter": 1e3,
    "metre": 1e3,
    "cm": 10.0,
    "centimeter": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
}


@dataclass(frozen=True, kw_only=True)
class FileHeader:
    """Header of an image file with one value per voxel.

    Args:
        shape: (H, W, D), in the order of the file.
        spacing_mm: (3,), in mm whatever the unit of the file.
        has_position: False if the file states neither origin nor orientation.
    """

    path: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    has_position: bool = True


def check_geometry(name: str, spacing: np.ndarray, direction: np.ndarray) -> None:
    """Check the spacing (3,), mm, and the direction cosines (3, 3), in columns, of a grid.

    Raises: ValueError naming the file if a spacing is not above 0 or beyond any scanner's, or the direction is not
        orthonormal.
    """
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"{name}: expected a spacing above 0 mm on every axis, got {text_of(spacing)}")
    if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
        raise ValueError(
            f"{name}: expected a spacing of {MIN_SPACING_MM:g} to {MAX_SPACING_MM:g} mm, got {text_of(spacing)}; "
            "check the unit of the header"
        )
    cosines = direction.T @ direction
    if not np.allclose(cosines, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
        worst = float(np.nan_to_num(np.abs(cosines - np.eye(3)), nan=1.0).max())
        raise ValueError(
            f"{name}: the direction is not orthonormal (sheared or scaled axes, off by {worst:.3g}); "
            "resample the scan to a grid with perpendicular axes first"
        )


def check_shape(path: str | Path, shape: Sequence[int]) -> tuple[int, int, int]:
    """The three sides of a volume. Raises: ValueError if the image is not one 3-D volume, or is beyond any scanner."""
    if len(shape) < 3 or any(size > 1 for size in shape[3:]) or min(shape[:3]) < 2:
        raise ValueError(f"{path}: expected one 3-D volume, got an image of shape {tuple(shape)}")
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise ValueError(f"{path}: expected at most {MAX_VOXELS} voxels, the header states the shape {tuple(shape)}")
    return shape[0], shape[1], shape[2]


def check_components(path: str | Path, found: int, expected: int) -> None:
    """Raises: ValueError if voxels hold another number of values."""
    if found != expected:
        wanted = "one value" if expected == 1 else f"{expected} values"
        raise ValueError(f"{path}: expected {wanted} per voxel, got {found}{' (RGB or vectors)' if found > 1 else ''}")


def check_origin(path: str | Path, origin: Sequence[float] | np.ndarray) -> None:
    """Raises: ValueError if a coordinate is not finite."""
    if not np.isfinite(np.asarray(origin, dtype=np.float64)).all():
        raise ValueError(f"{path}: expected a finite position of the first voxel, got {text_of(np.asarray(origin))}")


def unit_in_mm(path: str | Path, unit: str) -> float:
    """Length of a unit, mm. Raises: ValueError for an unknown one."""
    name = unit.strip().strip('"').lower()
    if name not in UNITS_MM:
        raise ValueError(f"{path}: expected lengths in {', '.join(UNITS_MM)}, got the unit {unit!r}")
    return UNITS_MM[name]


def numbers(path: str | Path, field: str, text: str, count: int | None = None) -> list[float]:
    """The numbers of a header field. Raises: ValueError naming file and field if they are others or not `count`."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError as error:
        raise ValueError(f"{path}: unreadable header: {field}: expected numbers, got {text[:80]!r}") from error
    if count is not None and len(values) != count:
        raise ValueError(f"{path}: unreadable header: {field}: expected {count} numbers, got {text[:80]!r}")
    return values


def whole_numbers(path: str | Path, field: str, text: str, count: int | None = None) -> list[int]:
    """As `numbers`, for counts."""
    values = numbers(path, field, text, count)
    if not all(math.isfinite(value) and value == int(value) and value >= 0 for value in values):
        raise ValueError(f"{path}: unreadable header: {field}: expected whole numbers, got {text[:80]!r}")
    return [int(value) for value in values]


def text_of(values: np.ndarray) -> str:
    """Numbers for a message."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
