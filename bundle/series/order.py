"""The reference of a series, and the order in which the others are registered to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple


class Step(NamedTuple):
    """A member to register, and the members between it and the reference, the nearest neighbour first."""

    member: int
    towards_reference: list[int]


def nearest_mean(volumes_ml: Mapping[str, float]) -> str:
    """The phase nearest the mean position: that whose lung volume is nearest the mean of all; of equals the first.

    Volume is the surrogate of position in the cycle: a spirometer measures the same. Source: Wolthaus et al. 2008,
    Med. Phys. 35(9), who take the phase nearest the time-weighted mean position of the tumour.
    """
    mean_ml = fmean(volumes_ml.values())
    return min(volumes_ml, key=lambda name: abs(volumes_ml[name] - mean_ml))


def outwards(count: int, reference: int) -> list[Step]:
    """The members of a cycle without the reference, from its neighbours on both sides to the opposite member."""
    steps: list[Step] = []
    for distance in range(1, count // 2 + 1):
        for direction in (1, -1):
            member = (reference + direction * distance) % count
            if member in (step.member for step in steps):
                continue  # the opposite member of an even cycle
            between = [(reference + direction * nearer) % count for nearer in range(distance - 1, 0, -1)]
            steps.append(Step(member, between))
    return steps


def neighbours(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each member with the next one, the last with the first; of two members one pair."""
    pairs = list(zip(names, [*names[1:], names[0]], strict=True))
    return pairs if len(names) > 2 else pairs[:1]


def spread(items: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """`count` of the items, evenly spread over them; all if there are no more."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
