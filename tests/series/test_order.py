from __future__ import annotations

import pytest

from bundle.series.order import nearest_mean, neighbours, outwards, spread


@pytest.mark.parametrize(
    ("volumes_ml", "expected"),
    [
        ({"0": 6000.0, "50": 4000.0, "25": 5100.0}, "25"),  # mean 5033
        ({"a": 1.0, "b": 1.0}, "a"),
        ({"0": 10.0, "1": 0.0, "2": 0.0, "3": 2.0}, "3"),  # mean 3: not the middle of the range, 5
    ],
)
def test_the_reference_is_the_phase_nearest_the_mean_volume(volumes_ml: dict[str, float], expected: str) -> None:
    assert nearest_mean(volumes_ml) == expected


@pytest.mark.parametrize(
    ("count", "reference", "members", "starts"),
    [
        (5, 1, [2, 0, 3, 4], [None, None, 2, 0]),
        (4, 3, [0, 2, 1], [None, None, 0]),
        (2, 0, [1], [None]),
    ],
)
def test_members_follow_their_neighbours_on_both_sides(
    count: int, reference: int, members: list[int], starts: list[int | None]
) -> None:
    steps = outwards(count, reference)
    assert [step.member for step in steps] == members
    assert [next(iter(step.towards_reference), None) for step in steps] == starts


@pytest.mark.parametrize("count", range(2, 12))
@pytest.mark.parametrize("reference", [0, 1])
def test_every_member_comes_once_and_after_those_it_starts_from(count: int, reference: int) -> None:
    steps = outwards(count, reference)
    order = [step.member for step in steps]
    assert sorted([*order, reference]) == list(range(count))
    for number, step in enumerate(steps):
        assert set(step.towards_reference) <= set(order[:number])


def test_the_last_neighbour_is_the_first_member() -> None:
    assert neighbours(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("c", "a")]
    assert neighbours(["a", "b"]) == [("a", "b")]


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 3, 6]), (20, list(range(9)))])
def test_pairs_are_spread_over_the_cycle(count: int, expected: list[int]) -> None:
    pairs = [(str(number), str(number + 1)) for number in range(9)]
    assert [pairs.index(pair) for pair in spread(pairs, count)] == expected
