"""Structures of radiotherapy: names and contours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydicom import Dataset

Kind = Literal["closed", "point", "empty"]


@dataclass(frozen=True)
class Structure:
    """A region of interest.

    Args:
        number, name: as in its file.
        kind: closed planar contours, single points, or nothing drawn.
        contours: points (N, 3) of each contour, LPS mm. Of several in one plane, a place inside an odd number of them
            is inside the structure: inner contours are holes, and so are the inner parts of keyhole contours.
    """

    number: int
    name: str
    kind: Kind
    contours: list[np.ndarray]


@dataclass(frozen=True)
class StructureSet:
    """The structures of a file, and what else the file says about them."""

    path: str
    structures: list[Structure]
    data: Dataset
