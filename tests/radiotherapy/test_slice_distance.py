from __future__ import annotations

import logging

import numpy as np
import pytest

shapely = pytest.importorskip("shapely", reason="requirements-radiotherapy.txt: how structures are carried")

from bundle.radiotherapy.slice_distance import slice_distance  # noqa: E402  (after the skip)
from tests.grids import rotation  # noqa: E402
from tests.radiotherapy.conftest import circle  # noqa: E402

AXES = rotation(12, -7, 30)[:3, :3].numpy()
STEP_MM = 3.0
SQUARE = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]])


def in_plane(ring: np.ndarray, position: float) -> np.ndarray:
    """A ring of a plane as points of space."""
    return np.column_stack([ring, np.full(len(ring), position)]) @ AXES.T


def at(distance, *places: tuple[float, float, float]) -> np.ndarray:
    return distance.at(np.array(places, dtype=float) @ AXES.T)


def test_a_cylinder_has_the_distance_to_its_wall_and_ends_half_a_step_beyond_its_planes() -> None:
    planes = [9.0, 3.0, 6.0, 0.0, 12.0]
    cylinder = slice_distance([in_plane(circle(10.0, (5, -4), 720), plane) for plane in planes], AXES, 1.0, name="c")
    places = [(5 + r, -4, z) for r in (3.0, 8.5, 9.9, 10.1, 12.0) for z in (0.0, 4.4, 12.0)]
    expected = [np.hypot(x - 5, y + 4) - 10.0 for x, y, _ in places]
    np.testing.assert_allclose(at(cylinder, *places), expected, atol=0.02)
    ends = at(cylinder, *[(5, -4, z) for z in (-1.6, -1.4, 13.4, 13.6, 30.0)])
    assert (ends < 0).tolist() == [False, True, True, False, False]
    assert (at(cylinder, (50, -4, 6), (5, 90, 6), (-400, 0, 6)) > 3.0).all()  # outside the samples


def test_between_two_planes_the_wall_lies_between_their_contours() -> None:
    cone = slice_distance([in_plane(circle(6.0 + z, count=720), z) for z in (0.0, 3.0, 6.0)], AXES, 1.0, name="cone")
    np.testing.assert_allclose(at(cone, (7.0, 0, 1.0), (0, -10.5, 4.5), (11.0, 0, 5.0)), 0.0, atol=0.02)


@pytest.mark.parametrize("turned", [False, True])
def test_holes_islands_and_keyholes_are_outside_and_inside_in_turn(turned: bool) -> None:
    """Nested contours in any order and sense, and the same hole as a keyhole: DICOM PS3.3 C.8.8.6.3."""
    hole, island = SQUARE * 0.5 + 5, SQUARE * 0.2 + 8
    rings = [island, SQUARE, hole[::-1] if turned else hole]
    nested = slice_distance([in_plane(ring, 0.0) for ring in rings], AXES, STEP_MM, name="nested")
    places = [(x, 10.0, 0.0) for x in (-1, 2, 7, 10, 13, 18, 21)]
    assert (at(nested, *places) < 0).tolist() == [False, True, False, True, False, True, False]
    keyhole = np.concatenate([SQUARE, SQUARE[:1], hole[::-1], hole[-1:]])
    joined = slice_distance([in_plane(ring, 0.0) for ring in (keyhole, island)], AXES, STEP_MM, name="keyhole")
    np.testing.assert_allclose(at(joined, *places), at(nested, *places), atol=1e-6)
    np.testing.assert_allclose(at(joined, (2.5, 2.5, 0.0)), -2.5, atol=0.01)  # on the channel, which is no border


def test_a_gap_stays_empty_and_is_told_and_every_second_slice_is_filled(caplog: pytest.LogCaptureFixture) -> None:
    planes = [0.0, 3.0, 6.0, 15.0, 18.0]
    with caplog.at_level(logging.WARNING):
        parts = slice_distance([in_plane(SQUARE, plane) for plane in planes], AXES, 1.5, name="cord")
    assert "structure 'cord': 1 gaps in its contours, up to 9.0 mm, stay empty" in caplog.text
    heights = (1.5, 4.5, 7.4, 7.6, 10.0, 13.4, 13.6, 16.5, 19.4, 19.6)  # planes are twice the slices' distance apart
    inside = at(parts, *[(10, 10, z) for z in heights]) < 0
    assert inside.tolist() == [True, True, True, False, False, False, True, True, True, False]


def test_a_single_plane_is_as_thick_as_a_slice() -> None:
    plane = slice_distance([in_plane(SQUARE, 7.0)], AXES, STEP_MM, name="slab")
    heights = (5.4, 5.6, 7.0, 8.4, 8.6)
    assert (at(plane, *[(10, 10, z) for z in heights]) < 0).tolist() == [False, True, True, True, False]


def test_contours_in_other_planes_and_without_area_are_refused() -> None:
    tilted = in_plane(SQUARE, 0.0) + np.outer(SQUARE[:, 0] * 0.1, AXES[:, 2])
    with pytest.raises(ValueError, match=r"structure 'lung': expected contours in the planes .* them by 2\.00 mm"):
        slice_distance([tilted], AXES, STEP_MM, name="lung")
    line = in_plane(np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]]), 0.0)
    with pytest.raises(ValueError, match="structure 'line': its contours enclose no area"):
        slice_distance([line], AXES, STEP_MM, name="line")
