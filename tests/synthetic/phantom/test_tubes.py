from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom.trees import Tubes
from bundle.synthetic.phantom.tubes import draw_tubes

SHAPE = (24, 26, 30)
AFFINE = np.array([[-1.0, 0, 0, 11.0], [0, 1.5, 0, -19.0], [0, 0, 2.0, -30.0], [0, 0, 0, 1]])


@pytest.mark.parametrize("radius_mm", [0.8, 4.0])
def test_a_tube_fills_its_own_volume(radius_mm: float) -> None:
    start, end = np.array([[-4.0, -8.0, -15.0]]), np.array([[5.0, 9.0, 16.0]])
    filled = draw_tubes(Tubes(start, end, np.array([radius_mm])), SHAPE, AFFINE)
    volume = filled.sum() * 3.0
    length = np.linalg.norm(end - start)
    expected = np.pi * radius_mm**2 * (length + 4 / 3 * radius_mm)  # round ends
    assert volume == pytest.approx(expected, rel=0.15)


def test_a_thick_tube_is_full_on_its_axis_half_at_its_wall_and_empty_outside() -> None:
    tube = Tubes(np.array([[0.0, -0.5, -20.0]]), np.array([[0.0, -0.5, 20.0]]), np.array([6.0]))
    filled = draw_tubes(tube, SHAPE, AFFINE)
    x = 11.0 - np.arange(24)
    profile = filled[:, np.argmin(np.abs(-19 + 1.5 * np.arange(26) + 0.5)), 15]
    np.testing.assert_allclose(np.interp([0.0, 6.0, 10.0], x[::-1], profile[::-1]), [1.0, 0.5, 0.0], atol=0.02)


def test_a_tube_that_leaves_the_grid_is_cut_at_its_border() -> None:
    line = np.array([[0.0, 0.0, -90.0], [0.0, 0.0, 90.0]])
    filled = draw_tubes(Tubes.along(line, 3.0).split(5.0), SHAPE, AFFINE)
    assert filled.shape == SHAPE
    np.testing.assert_allclose(filled[11, 13, [0, -1]], filled[11, 13, 15], atol=0.05)


def test_no_tube_in_view_leaves_the_volume_empty() -> None:
    far = Tubes(np.array([[0.0, 0.0, 500.0]]), np.array([[0.0, 0.0, 510.0]]), np.array([3.0]))
    assert draw_tubes(far, SHAPE, AFFINE).max() == 0.0


def test_the_largest_fill_counts_where_tubes_overlap() -> None:
    line = np.array([[0.0, 0.0, -20.0], [0.0, 0.0, 20.0]])
    once, twice = Tubes.along(line, 2.0), Tubes.joined([Tubes.along(line, 2.0), Tubes.along(line, 2.0)])
    np.testing.assert_array_equal(draw_tubes(once, SHAPE, AFFINE), draw_tubes(twice, SHAPE, AFFINE))
