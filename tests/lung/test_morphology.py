from __future__ import annotations

import numpy as np
import pytest

from bundle.lung.morphology import box_of, close, dilate, erode, grow_in_turns, medians_of

SPACING = np.array([2.0, 3.0, 6.0])


def point() -> np.ndarray:
    mask = np.zeros((21, 17, 13), bool)
    mask[10, 8, 6] = True
    return mask


def test_dilation_reaches_the_radius_along_every_axis_in_millimetres() -> None:
    grown = dilate(point(), 6.0, SPACING)
    assert [int(grown.any(axis=axes).sum()) for axes in ((1, 2), (0, 2), (0, 1))] == [7, 5, 3]


def test_growth_stays_within_its_passages() -> None:
    within = np.zeros((21, 17, 13), bool)
    within[:, 8, 6] = True
    assert dilate(point(), 6.0, SPACING, within=within).sum() == 7


def test_erosion_undoes_dilation_of_a_point() -> None:
    np.testing.assert_array_equal(erode(dilate(point(), 6.0, SPACING), 6.0, SPACING), point())


def test_closing_fills_gaps_up_to_twice_the_radius_also_at_the_faces() -> None:
    mask = np.ones((21, 17, 13), bool)
    mask[9:11] = False  # 4 mm
    assert close(mask, 4.0, SPACING).all()
    mask[6:15] = False  # 18 mm
    assert not close(mask, 4.0, SPACING)[10].any()


def test_labels_meet_in_the_middle_and_do_not_leave_their_region() -> None:
    within = np.ones((10, 3, 4), bool)
    within[:, :, 3] = False
    seeds = np.zeros(within.shape, np.int32)
    seeds[0, 1, 1], seeds[9, 1, 1] = 1, 2
    grown = grow_in_turns(seeds, within)
    assert (grown[:5, :, :3] == 1).all()
    assert (grown[5:, :, :3] == 2).all()
    assert not grown[:, :, 3].any()


def test_medians_are_those_of_numpy_and_nan_in_empty_parts() -> None:
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(8, 9, 10)), rng.integers(0, 4, (8, 9, 10))
    labels[labels == 2] = 0
    medians = medians_of(values, labels, 3)
    assert medians[[0, 2]].tolist() == pytest.approx([np.median(values[labels == part]) for part in (1, 3)])
    assert np.isnan(medians[1])


def test_boxes_hold_the_mask_and_a_margin() -> None:
    assert box_of(point(), 2) == (slice(8, 13), slice(6, 11), slice(4, 9))
