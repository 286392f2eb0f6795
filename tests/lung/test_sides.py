from __future__ import annotations

import numpy as np
import pytest

from bundle.lung.sides import LEFT, RIGHT, Scene, label_sides

SPACING = np.array([3.0, 3.0, 3.0])
SHAPE = (100, 60, 70)


def ball(x: int, radius: int = 20) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, side) for side in SHAPE)]
    return sum((axis - c) ** 2 for axis, c in zip(axes, (x, 30, 35), strict=True)) < radius**2


def scene(**changes: object) -> Scene:
    empty = np.zeros(SHAPE, bool)
    usual = {"hu": np.full(SHAPE, 40.0, np.float32), "airways": empty, "outside": empty}
    usual |= {"spacing": SPACING, "scale": 1.0}
    return Scene(**{**usual, **changes})


@pytest.mark.parametrize("scale", [1.0, 0.6])  # 0.6: cuts of less than a voxel add up
def test_two_balls_are_right_and_left_also_where_they_are_joined(scale: float) -> None:
    lungs = ball(26) | ball(74)
    lungs[26:75, 28:31, 34:37] = True  # a bridge of 9 mm
    labels = label_sides(lungs, scene(scale=scale))
    assert (labels[ball(26)] == LEFT).all()
    assert (labels[ball(74)] == RIGHT).all()
    np.testing.assert_array_equal(labels > 0, lungs)


@pytest.mark.parametrize(("x", "side"), [(26, LEFT), (74, RIGHT)])
def test_airways_spine_and_surface_each_tell_the_side_of_a_single_lung(x: int, side: int) -> None:
    airways, outside, hu = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), scene().hu.copy()
    airways[49:52, 29:32] = True
    outside[:2] = outside[-2:] = True
    hu[44:57, 4:14] = 200.0
    for evidence in ({"airways": airways}, {"outside": outside}, {"hu": hu}):
        labels = label_sides(ball(x), scene(**evidence))
        assert set(np.unique(labels)) == {0, side}


@pytest.mark.parametrize(("heart_x", "side"), [(30, RIGHT), (70, LEFT)])
def test_a_lung_alone_is_told_by_the_side_that_bulges(heart_x: int, side: int) -> None:
    lung = ball(50) & ~ball(heart_x, 12)  # the heart bites into its medial side
    assert set(np.unique(label_sides(lung, scene(hu=np.full(SHAPE, -1024.0, np.float32))))) == {0, side}
