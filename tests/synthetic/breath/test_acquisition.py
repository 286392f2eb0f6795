from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from bundle.synthetic.breath.acquisition import (
    CUT_MM,
    NOISE_HU,
    SLICE_MM,
    Acquisition,
    Appearance,
    draw_acquisition,
    draw_hard_acquisition,
)


def many(*, agent: bool = False, hardness: float = 1.0) -> list[Acquisition]:
    rng = np.random.RandomState(0)
    return [draw_hard_acquisition(rng, agent=agent, hardness=hardness) for _ in range(200)]


def appearances(drawn: list[Acquisition]) -> list[Appearance]:
    return [one.appearance for one in drawn if one.appearance is not None]


def test_acquisitions_survive_json_and_leave_out_what_they_do_not_have() -> None:
    plain, hard = draw_acquisition(np.random.RandomState(1)), many()[0]
    for one in (plain, hard):
        assert Acquisition.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert set(hard.to_dict()) - set(plain.to_dict()) == {"appearance", "empty_slices"}


def test_hard_scans_span_the_noise_the_slices_and_the_cuts_asked_for() -> None:
    drawn = many()
    for values, (low, high) in (
        ([one.noise_hu for one in drawn], NOISE_HU),
        ([one.slice_mm for one in drawn], SLICE_MM),
        ([one.margin_low_mm[2] for one in drawn], (-CUT_MM, CUT_MM)),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    assert {one.empty_slices for one in drawn} == {0, 1, 2, 3}
    assert 0.2 < np.mean([one.kernel < 0 for one in drawn]) < 0.6, "sharp and smooth kernels"


@pytest.mark.parametrize(("agent", "low", "high"), [(False, 30, 50), (True, 200, 400)])
def test_the_agent_is_in_the_blood(agent: bool, low: float, high: float) -> None:
    assert all(low <= one.blood_hu <= high for one in appearances(many(agent=agent)))


def test_no_hardness_leaves_the_lungs_as_they_are() -> None:
    drawn = many(hardness=0.0)
    np.testing.assert_allclose([one.noise_hu for one in drawn], 5.0)
    assert {one.kernel for one in drawn} == {0.0}
    for one in appearances(drawn):
        changes = {field.name for field in fields(one)} - {"blood_hu", "texture_mm"}
        for name in changes:
            np.testing.assert_array_equal(getattr(one, name), 0.0)


def test_half_the_hardness_halves_the_changes_of_the_same_draw() -> None:
    whole, half = many(), many(hardness=0.5)
    for one, other in zip(appearances(whole), appearances(half), strict=True):
        for name in ("calibre_mm", "vessel_contrast", "density", "gradient_per_100mm", "texture_hu"):
            np.testing.assert_allclose(getattr(other, name), 0.5 * np.array(getattr(one, name)))
        assert one.blood_hu == other.blood_hu
    assert [one.slice_mm for one in whole] == [one.slice_mm for one in half]
