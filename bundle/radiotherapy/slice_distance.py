"""A structure as a function of space: its signed distance, interpolated between the planes of its contours.

In each plane the function is the distance to the contour in that plane, mm, negative inside; between two planes it is
interpolated linearly: shape-based interpolation, Raya and Udupa 1990 (IEEE Trans. Med. Imaging 9(1)). A structure ends
half a step beyond its last plane, so that its volume is that of its areas times the step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from bundle.radiotherapy.plane_contours import MIN_AREA_MM2

log = logging.getLogger(__name__)

SAMPLING_MM = 0.5  # at most, between samples of the distance in a plane
MARGIN_MM = 4.0  # of the samples around a structure; beyond, the distance is that of the border
EXACT_MM = 1.0  # nearer to the contour than this, distances are exact; beyond, to 0.01 mm
DENSE_MM = 0.25  # between the points of a contour that far distances are measured to
SAME_PLANE_MM = 0.1  # contours nearer than this lie in one plane; also the most that a planar contour may deviate
GAP_STEPS = 1.5  # planes further apart than this share nothing between them


@dataclass(frozen=True)
class SliceDistance:
    """Signed distance of a structure at points of space.

    Args:
        axes: (3, 3), the row, column and normal direction of the planes in columns, LPS.
        origin: position of the first sample of each plane along row and column, mm.
        steps: distance of the samples along row and column, mm.
        planes: (m,) positions along the normal, mm, ascending.
        distance: (m, columns, rows) mm, negative inside.
    """

    axes: np.ndarray
    origin: np.ndarray
    planes: np.ndarray
    distance: np.ndarray

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinate along row, column and normal of what may lie inside, mm."""
        last = self.origin + SAMPLING_MM * (np.array(self.distance.shape[:0:-1]) - 1)
        return np.append(self.origin, self.planes[0]), np.append(last, self.planes[-1])

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Signed distance (...) at points (..., 3), LPS mm."""
        places = points_mm @ self.axes
        row, column = np.moveaxis((places[..., :2] - self.origin) / SAMPLING_MM, -1, 0)
        plane = np.interp(places[..., 2], self.planes, np.arange(len(self.planes)))
        return map_coordinates(self.distance, [plane, column, row], order=1, mode="nearest")


def slice_distance(contours: Sequence[np.ndarray], axes: np.ndarray, step_mm: float, *, name: str) -> SliceDistance:
    """The signed distance of closed planar contours (N, 3), LPS mm.

    Args:
        axes: (3, 3), see `SliceDistance`; contours lie in planes perpendicular to the third.
        step_mm: distance of the slices of the scan, for a structure in one plane.
        name: of the structure, for messages.
    Raises: ValueError for a contour that is not in such a plane, or a structure without area.
    """
    regions = _regions([contour @ axes for contour in contours], name)
    planes = np.array([position for position, region in regions if region.area > MIN_AREA_MM2])
    areas = [region for _, region in regions if region.area > MIN_AREA_MM2]
    if not areas:
        raise ValueError(f"structure {name!r}: its contours enclose no area")
    bounds = shapely.total_bounds(areas)
    origin = bounds[:2] - MARGIN_MM
    counts = np.ceil((bounds[2:] + MARGIN_MM - origin) / SAMPLING_MM).astype(int) + 1
    rows, columns = (start + SAMPLING_MM * np.arange(count) for start, count in zip(origin, counts, strict=True))
    distances = [_distance(area, rows, columns) for area in areas]
    step = float(np.median(np.diff(planes))) if len(planes) > 1 else step_mm
    positions, stack = _with_ends(planes, distances, step, name)
    return SliceDistance(axes, origin, positions, stack)


def _regions(contours: Sequence[np.ndarray], name: str) -> list[tuple[float, shapely.Geometry]]:
    """Position and region of each plane, from contours in the coordinates of the planes, ascending."""
    by_plane: list[tuple[float, list[np.ndarray]]] = []
    for contour in sorted(contours, key=lambda points: float(points[:, 2].mean())):
        if float(np.ptp(contour[:, 2])) > SAME_PLANE_MM:
            raise ValueError(
                f"structure {name!r}: expected contours in the planes of the scan's slices, found one that leaves them "
                f"by {np.ptp(contour[:, 2]):.2f} mm"
            )
        position = float(contour[:, 2].mean())
        if not by_plane or position - by_plane[-1][0] > SAME_PLANE_MM:
            by_plane.append((position, []))
        by_plane[-1][1].append(contour[:, :2])
    return [(position, _region(rings)) for position, rings in by_plane]


def _region(rings: Sequence[np.ndarray]) -> shapely.Geometry:
    """What lies inside an odd number of rings (N, 2)."""
    region: shapely.Geometry = shapely.Polygon()
    for ring in rings:
        parts = shapely.get_parts(shapely.make_valid(shapely.Polygon(ring)))  # the channel of a keyhole becomes a line
        areas = [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")]
        region = shapely.symmetric_difference(region, shapely.union_all(areas))
    parts = [part for part in shapely.get_parts(region) if part.geom_type == "Polygon"]
    return shapely.union_all(parts)


def _distance(region: shapely.Geometry, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Signed distance (columns, rows) float32 of a region, mm."""
    x, y = np.meshgrid(rows, columns)
    border = region.boundary
    tree = cKDTree(shapely.get_coordinates(shapely.segmentize(border, DENSE_MM)))
    distance, _ = tree.query(np.column_stack([x.ravel(), y.ravel()]))
    near = np.flatnonzero(distance < EXACT_MM)
    distance[near] = shapely.distance(border, shapely.points(x.ravel()[near], y.ravel()[near]))
    shapely.prepare(region)
    inside = shapely.contains_xy(region, x.ravel(), y.ravel())
    return np.where(inside, -distance, distance).reshape(x.shape).astype(np.float32)


def _with_ends(
    planes: np.ndarray, distances: Sequence[np.ndarray], step: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Planes and distances with the planes in which the structure has ended, a step beyond its last ones.

    Their distance is that of the last plane without its sign: halfway between the two, inside becomes outside.
    """
    positions, stack = [planes[0] - step], [np.abs(distances[0])]
    gaps = []
    for index, (plane, distance) in enumerate(zip(planes, distances, strict=True)):
        gap = plane - positions[-1] if index else 0.0
        if gap > GAP_STEPS * step:
            gaps.append(gap)
            reach = min(step, 0.49 * gap)
            positions += [planes[index - 1] + reach, plane - reach]
            stack += [np.abs(distances[index - 1]), np.abs(distance)]
        positions.append(plane)
        stack.append(distance)
    if gaps:
        log.warning("structure %r: %d gaps in its contours, up to %.1f mm, stay empty", name, len(gaps), max(gaps))
    return np.array([*positions, planes[-1] + step]), np.stack([*stack, np.abs(distances[-1])])
