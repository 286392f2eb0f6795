from __future__ import annotations

import pytest
import torch

from bundle.io import Landmarks, check_landmark_pair, names_from_json

POINTS = torch.zeros(3, 3, dtype=torch.float64)


def test_names_come_back_from_their_text() -> None:
    names = [("carina", 'with "quotes", and ä'), ("", "")]
    assert names_from_json(Landmarks(POINTS, names).names_json) == names
    assert names_from_json(Landmarks(POINTS).names_json) == []


def test_landmark_sets_of_different_length_are_refused() -> None:
    check_landmark_pair("a.txt", POINTS, "b.txt", Landmarks(POINTS))
    with pytest.raises(ValueError, match=r"must match row by row: a\.txt holds 3, b\.txt holds 2"):
        check_landmark_pair("a.txt", POINTS, "b.txt", POINTS[:2])


def test_points_that_only_one_file_leaves_out_are_refused() -> None:
    check_landmark_pair("a.csv", Landmarks(POINTS, left_out=(2,)), "b.csv", Landmarks(POINTS, left_out=(2,)))
    with pytest.raises(ValueError, match=r"a\.csv marks point 2 as undefined or not selected, b\.csv marks point 3"):
        check_landmark_pair("a.csv", Landmarks(POINTS, left_out=(2,)), "b.csv", Landmarks(POINTS, left_out=(3,)))
