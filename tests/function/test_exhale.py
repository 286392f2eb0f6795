from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.function.exhale import LungSize, find_exhale, lung_size

LARGE, SMALL = LungSize(5000.0, 900.0), LungSize(3000.0, 900.0)


def test_the_lungs_of_a_scan_have_a_volume_and_a_mass() -> None:
    affine = torch.diag(torch.tensor([2.0, -3.0, 4.0, 1.0], dtype=torch.float64))
    scan = MetaTensor(torch.full((1, 5, 6, 7), -800.0), affine=affine)
    mask = MetaTensor(torch.zeros(1, 5, 6, 7, dtype=torch.uint8), affine=affine)
    mask[0, :2, :3, :4] = 1
    size = lung_size(scan, mask)
    assert size.volume_ml == pytest.approx(24 * 24 / 1000)
    assert size.mass_g == pytest.approx(0.2 * size.volume_ml)
    assert size.density_g_per_l == pytest.approx(200.0)


def test_the_smaller_lungs_are_exhale() -> None:
    assert find_exhale(LARGE, SMALL).scan == "moving"
    found = find_exhale(SMALL, LARGE)
    assert found.scan == "fixed"
    assert found.reason == "the smaller lungs (3000 ml fixed, 5000 ml moving)"
    assert found.warnings == ()


def test_of_equal_volumes_the_denser_lungs_are_exhale_with_a_warning() -> None:
    found = find_exhale(LungSize(4000.0, 900.0), LungSize(4050.0, 1000.0))
    assert found.scan == "moving"
    assert "denser" in found.reason
    assert found.warnings == ("the lung volumes differ by 1.2 % only: maps of a breath say little",)


def test_what_contradicts_is_said() -> None:
    assert "not the denser" in find_exhale(LARGE, LungSize(3000.0, 300.0)).warnings[0]
    given = find_exhale(LARGE, SMALL, "fixed")
    assert (given.scan, given.reason) == ("fixed", "as given")
    assert given.warnings == (
        "--exhale fixed, but the moving scan has the smaller lungs (5000 ml fixed, 3000 ml moving)",
    )
