from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.calibration.damage import DAMAGES

AFFINE = torch.tensor([[1.0, 0, 0, -3], [0, 2.0, 0, 5], [0, 0, 3.0, 7], [0, 0, 0, 1]], dtype=torch.float64)


def scan(seed: int) -> MetaTensor:
    voxels = torch.rand(1, 6, 6, 8, generator=torch.Generator().manual_seed(seed)) * 1400 - 1000
    return MetaTensor(voxels, affine=AFFINE)


def damaged(what: str) -> tuple[MetaTensor, MetaTensor]:
    return DAMAGES[what](scan(0), scan(1), np.random.default_rng(0))


@pytest.mark.parametrize("what", DAMAGES)
def test_what_the_name_says_is_damaged_and_the_other_scan_is_not(what: str) -> None:
    for name, before, after in zip(("fixed", "moving"), (scan(0), scan(1)), damaged(what), strict=True):
        is_same = torch.equal(before.as_tensor(), after.as_tensor()) and torch.equal(before.affine, after.affine)
        assert is_same is not (name in what or "both" in what)


def test_a_part_keeps_its_place_in_the_world() -> None:
    _, upper = damaged("moving upper half")
    assert upper.shape == (1, 6, 6, 4)
    assert torch.equal(upper.as_tensor(), scan(1).as_tensor()[..., 4:])
    torch.testing.assert_close(upper.affine[:3, 3], AFFINE[:3, 3] + torch.tensor([0.0, 0.0, 12.0]).double())


def test_another_unit_keeps_the_centre() -> None:
    _, small = damaged("moving in cm")
    middle = torch.tensor([2.5, 2.5, 3.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(small.affine @ middle, AFFINE @ middle)
    torch.testing.assert_close(small.affine[:3, :3], AFFINE[:3, :3] / 10)


@pytest.mark.parametrize("what", [name for name in DAMAGES if "slices" in name and "far" not in name])
def test_reordered_slices_are_the_same_slices(what: str) -> None:
    _, moving = damaged(what)
    assert torch.equal(moving.as_tensor().flatten(0, 2).sort().values, scan(1).as_tensor().flatten(0, 2).sort().values)
