"""Parametric response map: what both scans say about each place of the lungs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundle.function.breath import Breath, Values
from bundle.processors import side_by_side

Filter = Literal["median", "gaussian", "none"]
FILTERS = {"median": "median of 3 x 3 x 3 voxels", "gaussian": "Gaussian, sigma 1 voxel", "none": "no filter"}
CHUNK = 200_000  # voxels whose neighbours are gathered at once
CLASSES = {1: "normal", 2: "functional small airway disease", 3: "emphysema", 4: "emptying emphysema"}
SHORT = {1: "normal", 2: "fsad", 3: "emphysema", 4: "emptying_emphysema"}
COLOURS = {1: (0, 158, 115), 2: (240, 228, 66), 3: (213, 94, 0), 4: (86, 180, 233)}  # Okabe and Ito 2008


@dataclass(frozen=True)
class ResponseThresholds:
    """Density thresholds, HU: below them lies the abnormal lung."""

    inhale_hu: float = -950.0
    exhale_hu: float = -856.0


def response_map(breath: Breath, thresholds: ResponseThresholds, filter_name: Filter) -> NDArray[np.uint8]:
    """Class (n,) of the lung voxels by `CLASSES`.

    | inhale        | exhale        | class                           |
    |---------------|---------------|---------------------------------|
    | from -950 HU  | from -856 HU  | normal                          |
    | from -950 HU  | below         | functional small airway disease |
    | below         | below         | emphysema                       |
    | below         | from -856 HU  | emptying emphysema              |

    Args:
        filter_name: applied to both scans on the fixed grid; neighbours outside the lungs count.
    Source: Galban et al. 2012, Nat. Med. 18(11); the fourth class is of later work.
    """
    scans = side_by_side(partial(_filtered, filter_name, breath.inside), [breath.inhale_hu, breath.exhale_hu])
    is_low = scans[0] < thresholds.inhale_hu
    is_trapped = scans[1] < thresholds.exhale_hu
    return np.where(is_low, np.where(is_trapped, 3, 4), np.where(is_trapped, 2, 1)).astype(np.uint8)


def shares_percent(classes: NDArray[np.uint8], volumes_ml: Values) -> dict[str, float]:
    """Percentage of the volume in each class, by `SHORT`."""
    sums = np.bincount(classes, weights=volumes_ml, minlength=len(SHORT) + 1)
    total = float(sums.sum())
    return {name: 100 * float(sums[number]) / total if total else float("nan") for number, name in SHORT.items()}


def _filtered(filter_name: Filter, inside: NDArray[np.bool_], hu: Values) -> Values:
    """Filtered values (n,) of the lung voxels."""
    if filter_name == "median":
        return median_inside(hu, inside)
    filtered: Values = ndimage.gaussian_filter(hu, 1.0) if filter_name == "gaussian" else hu
    return filtered[inside]


def median_inside(volume: Values, inside: NDArray[np.bool_]) -> Values:
    """Median of 3 x 3 x 3 voxels (n,) at the voxels of a mask; SciPy's of the whole volume takes four times as long."""
    padded = np.pad(volume, 1, mode="symmetric")
    steps = [stride // padded.itemsize for stride in padded.strides]
    corners = np.argwhere(inside) @ steps
    neighbours = np.indices((3, 3, 3)).reshape(3, -1).T @ steps
    middle = len(neighbours) // 2
    medians = np.empty(len(corners), np.float32)
    for start in range(0, len(corners), CHUNK):
        rows = slice(start, start + CHUNK)
        values = padded.ravel()[corners[rows, None] + neighbours]
        values.partition(middle, axis=1)
        medians[rows] = values[:, middle]
    return medians
