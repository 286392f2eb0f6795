"""Landmarks in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

Names = Sequence[tuple[str, str]]  # label and description of each point; empty texts where a file has none


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one file.

    Args:
        points_mm: (N, 3) float64, RAS mm.
        names: label and description of each point; empty if no point has either.
        left_out: numbers, from 1, of the points that the file marks as undefined or not selected.
    """

    points_mm: Tensor
    names: Names = ()
    left_out: tuple[int, ...] = ()

    @property
    def names_json(self) -> str:
        """`names` as one text, which MONAI's loaders pass on unchanged."""
        return json.dumps([list(name) for name in self.names])


def names_from_json(text: str) -> Names:
    """The inverse of `Landmarks.names_json`."""
    return [(label, description) for label, description in json.loads(text)]


def check_landmark_pair(
    fixed_path: str | Path, fixed: Landmarks | Tensor, moving_path: str | Path, moving: Landmarks | Tensor
) -> None:
    """Check that two landmark sets match row by row.

    Raises: ValueError with both files and counts, or with the points that only one of the files leaves out.
    """
    counts = [len(each.points_mm if isinstance(each, Landmarks) else each) for each in (fixed, moving)]
    left_out = [each.left_out if isinstance(each, Landmarks) else () for each in (fixed, moving)]
    reason = "fixed and moving landmarks must match row by row"
    if left_out[0] != left_out[1]:
        first, second = [_numbers(numbers) for numbers in left_out]
        raise ValueError(
            f"{reason}: {fixed_path} marks {first} as undefined or not selected, {moving_path} marks {second}"
        )
    if counts[0] != counts[1]:
        raise ValueError(f"{reason}: {fixed_path} holds {counts[0]}, {moving_path} holds {counts[1]}")


def _numbers(values: tuple[int, ...]) -> str:
    return f"point {', '.join(map(str, values))}" if values else "none"
