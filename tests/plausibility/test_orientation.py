from __future__ import annotations

from itertools import permutations, product

import pytest
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.plausibility import LungView, other_orientation, view_lungs
from tests.plausibility.anatomy import anatomical, turned

Volumes = tuple[MetaTensor, MetaTensor]
FLIPS = [tuple(axis for axis in range(3) if which[axis]) for which in product((False, True), repeat=3)]
TURNS = [turn for turn in product(permutations(range(3)), FLIPS) if turn != ((0, 1, 2), ())]


@pytest.fixture(scope="module")
def chest() -> Volumes:
    """Scan and lungs in RAS order."""
    scan, lungs = (Orientation(axcodes="RAS", labels=None)(volume) for volume in anatomical())
    return scan, lungs


def view(*volumes: MetaTensor) -> LungView:
    seen = view_lungs(*volumes)
    assert seen is not None
    return seen


def test_two_scans_in_the_same_orientation_have_no_sign(chest: Volumes) -> None:
    other = anatomical(shape=(50, 54, 46))  # stored on another oblique grid
    assert other_orientation(view(*chest), view(*other)) == []


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_scan_that_is_turned_or_mirrored_is_noticed(
    chest: Volumes, turn: tuple[tuple[int, int, int], tuple[int, ...]]
) -> None:
    (sign,) = other_orientation(view(*chest), view(*(turned(volume, *turn) for volume in chest)))
    assert sign.startswith("the moving scan fits the fixed one better ")
    assert ("mirrored" in sign) == (turn[0] == (0, 1, 2))


def test_the_sign_names_the_directions(chest: Volumes) -> None:
    (sign,) = other_orientation(view(*chest), view(*(turned(volume, (0, 1, 2), (0, 2)) for volume in chest)))
    assert "mirrored left-right and head-foot (correlation 1.00, 0." in sign


def test_different_scans_have_no_sign(chest: Volumes) -> None:
    scan, lungs = chest
    inverted = MetaTensor(-scan.as_tensor(), affine=scan.affine)
    assert other_orientation(view(scan, lungs), view(inverted, lungs)) == []
