from __future__ import annotations

import numpy as np
import pytest

shapely = pytest.importorskip("shapely", reason="requirements-radiotherapy.txt: how structures are carried")

from bundle.radiotherapy.plane_contours import plane_contours  # noqa: E402  (after the skip)

STEPS_MM = (0.5, 0.8)


def radius(shape: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    x, y = np.meshgrid(*[np.arange(size) * step for size, step in zip(shape, STEPS_MM, strict=True)], indexing="ij")
    return np.hypot(x - centre[0], y - centre[1])


def area(contour: np.ndarray) -> float:
    """Signed, by the shoelace formula, so that a channel counts for nothing."""
    x, y = contour.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def test_a_disc_is_one_contour_on_its_circle() -> None:
    (contour,) = plane_contours(radius((61, 47), (14.2, 17.7)) - 9.0, STEPS_MM)
    np.testing.assert_allclose(np.hypot(*(contour - [14.2, 17.7]).T), 9.0, atol=0.02)
    assert abs(area(contour)) == pytest.approx(np.pi * 81, rel=2e-3)


def test_holes_are_joined_by_a_channel_and_islands_are_contours_of_their_own() -> None:
    rings = radius((81, 61), (20.0, 24.0))
    shells = np.maximum(rings - 18.0, 10.0 - rings)  # a ring
    second = radius((81, 61), (20.0, 24.0)) - 4.0  # an island in its hole
    ring, island = sorted(plane_contours(np.minimum(shells, second), STEPS_MM), key=len, reverse=True)
    assert abs(area(ring)) == pytest.approx(np.pi * (18**2 - 10**2), rel=2e-3)
    assert abs(area(island)) == pytest.approx(np.pi * 16, rel=1e-2)
    steps = np.linalg.norm(np.diff(ring, axis=0, append=ring[:1]), axis=1)
    assert (steps > 6.0).sum() == 2  # in and out through the channel
    region = shapely.make_valid(shapely.Polygon(ring))
    assert not shapely.contains_xy(region, 20.0 + 7.0, 24.0)
    assert shapely.contains_xy(region, 20.0 - 14.0, 24.0)


def test_two_holes_are_both_joined() -> None:
    outer = radius((81, 61), (20.0, 24.0)) - 18.0
    holes = [3.0 - radius((81, 61), centre) for centre in ((12.0, 24.0), (28.0, 20.0))]
    (contour,) = plane_contours(np.maximum.reduce([outer, *holes]), STEPS_MM)
    assert abs(area(contour)) == pytest.approx(np.pi * (18**2 - 2 * 3**2), rel=2e-3)


def test_what_reaches_the_border_ends_there_and_nothing_gives_nothing() -> None:
    (contour,) = plane_contours(radius((21, 31), (0.0, 12.0)) - 6.0, STEPS_MM)
    assert contour[:, 0].min() == 0.0
    assert abs(area(contour)) == pytest.approx(np.pi * 18, rel=5e-3)
    assert plane_contours(radius((21, 31), (0.0, 12.0)) + 1.0, STEPS_MM) == []
