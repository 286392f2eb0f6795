"""Binary morphology in millimetres on anisotropic grids, in steps of one voxel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Box = tuple[slice, slice, slice]

PLANAR = ndimage.generate_binary_structure(3, 1) & (np.abs(np.arange(3) - 1) == 0)  # neighbours in the axial slice


def dilate(mask: Mask, radius_mm: float, spacing: NDArray, *, within: Mask | None = None) -> Mask:
    """Dilation by about a ball; `within` confines every step, so that the growth follows passages."""
    for structure in _steps(radius_mm, spacing):
        mask = ndimage.binary_dilation(mask, structure, mask=within)
    return mask


def erode(mask: Mask, radius_mm: float, spacing: NDArray, *, outside: bool = False) -> Mask:
    """Erosion by about a ball; beyond the grid is `outside`."""
    for structure in _steps(radius_mm, spacing):
        mask = ndimage.binary_erosion(mask, structure, border_value=outside)
    return mask


def close(mask: Mask, radius_mm: float, spacing: NDArray) -> Mask:
    """Closing; the grid continues as at its faces."""
    margin = [(round(radius_mm / step) + 1,) * 2 for step in spacing]
    inner = tuple(slice(low, -high) for low, high in margin)
    return erode(dilate(np.pad(mask, margin, mode="edge"), radius_mm, spacing), radius_mm, spacing)[inner]


def grow_in_turns(seeds: Labels, within: Mask) -> Labels:
    """Grow all labels in turns, one voxel at a time, until they fill what they reach of `within`."""
    result = seeds.copy()
    box = box_of(within)
    part, free = result[box], within[box] & (seeds[box] == 0)
    structure = ndimage.generate_binary_structure(3, 1)
    grown = {value: part == value for value in np.unique(seeds[seeds > 0])}
    remaining, before = int(np.count_nonzero(free)), -1
    while remaining != before:
        for value in grown:
            grown[value] |= ndimage.binary_dilation(grown[value], structure) & free
            free &= ~grown[value]
        before, remaining = remaining, int(np.count_nonzero(free))
    for value, mask in grown.items():
        part[mask] = value
    return result


def medians_of(values: NDArray, labels: Labels, count: int) -> NDArray:
    """Median of `values` in each part 1 to `count`, NaN in empty ones; faster than scipy's where parts are sparse."""
    chosen = labels > 0
    parts, numbers = labels[chosen], values[chosen]
    order = np.argsort(parts, kind="stable")
    ends = np.searchsorted(parts[order], np.arange(1, count + 2))
    numbers = numbers[order]
    return np.array([np.median(numbers[a:b]) if b > a else np.nan for a, b in itertools.pairwise(ends)])


def box_of(mask: Mask, margin: int = 1) -> Box:
    """Bounding box of a non-empty mask with a margin in voxels, within the grid."""
    sides = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(max(int(filled[0]) - margin, 0), int(filled[-1]) + 1 + margin))
    return sides[0], sides[1], sides[2]


def _steps(radius_mm: float, spacing: NDArray) -> Iterator[Mask]:
    """Structuring elements of one voxel, cross and cube in turns, that together reach `radius_mm` on every axis."""
    radii = np.round(radius_mm / spacing).astype(int)
    count = int(radii.max())
    for step in range(count):
        active = (step + 1) * radii // count > step * radii // count
        axes = np.ogrid[tuple(slice(-1, 2) for _ in range(3))]
        distance = sum(np.abs(axis) for axis in axes)
        allowed = np.all(
            [(axis == 0) | on for axis, on in zip(np.broadcast_arrays(*axes), active, strict=True)], axis=0
        )
        yield allowed & (distance <= (1 if step % 2 == 0 else 3))
