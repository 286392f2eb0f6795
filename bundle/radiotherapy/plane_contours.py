"""Contours in a plane, of a signed distance on a grid of points in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import contourpy
import numpy as np
import shapely
from scipy.spatial import cKDTree

SIMPLIFY_MM = 0.01  # the most by which a left out point of a contour was off the line
MIN_AREA_MM2 = 0.01


def plane_contours(distance: np.ndarray, steps_mm: Sequence[float]) -> list[np.ndarray]:
    """Closed contours (N, 2) around where a signed distance (rows, columns) on a grid is negative.

    Coordinates are mm from the first sample along the first and second axis. What reaches the border of the grid ends
    there. A hole is joined to the contour around it by a channel of no width (DICOM PS3.3 C.8.8.6.3, keyhole).
    """
    closed = np.pad(distance, 1, constant_values=float(max(steps_mm)))
    generator = contourpy.contour_generator(z=closed.T, fill_type="OuterOffset")
    contours, last = [], np.array(distance.shape) - 1
    for points, offsets in zip(*generator.filled(-np.inf, 0.0), strict=True):
        rings = [(points[a:b] - 1).clip(0, last) * steps_mm for a, b in pairwise(offsets)]
        polygon = shapely.simplify(shapely.Polygon(rings[0], rings[1:]), SIMPLIFY_MM)
        if polygon.area >= MIN_AREA_MM2:
            outer, *holes = (shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors))
            contours.append(_keyhole(outer, holes))
    return contours


def _keyhole(outer: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """One ring (N, 2) of an outer ring and its holes, each joined at the two points that are nearest."""
    ring, rest = outer, list(holes)
    while rest:
        found = [cKDTree(ring).query(hole) for hole in rest]
        number = int(np.argmin([distances.min() for distances, _ in found]))
        distances, indices = found[number]
        start = int(distances.argmin())
        join, hole = int(indices[start]), rest.pop(number)
        turned = np.roll(hole, -start, axis=0)
        ring = np.concatenate([ring[: join + 1], turned, turned[:1], ring[join:]])
    return ring
