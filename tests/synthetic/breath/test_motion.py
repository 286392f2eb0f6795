from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.breath import MotionParameters, draw_motion
from bundle.synthetic.breath.motion import ROTATION_DEG, SHIFT_MM, draw_position


def test_parameters_survive_json() -> None:
    parameters = draw_motion(np.random.RandomState(4))
    assert MotionParameters.from_dict(json.loads(json.dumps(parameters.to_dict()))) == parameters


def test_clinical_scans_show_the_same_breath_and_survive_json() -> None:
    parameters = draw_motion(np.random.RandomState(4))
    clinical = parameters.clinical()
    assert MotionParameters.from_dict(json.loads(json.dumps(clinical.to_dict()))) == clinical
    for side in (clinical.inhale, clinical.exhale):
        assert (side.matrix_vox, side.in_plane_mm, side.slice_mm) == (512, 0.6, 2.5)
    assert replace(clinical, inhale=parameters.inhale, exhale=parameters.exhale) == parameters
    assert "matrix_vox" not in parameters.to_dict()["inhale"], "the records of other data sets stay as they were"


def test_hard_scans_show_the_same_breath_and_survive_json() -> None:
    parameters = draw_motion(np.random.RandomState(4))
    hard = parameters.hard()
    assert hard == parameters.hard()
    assert MotionParameters.from_dict(json.loads(json.dumps(hard.to_dict()))) == hard
    assert replace(hard, inhale=parameters.inhale, exhale=parameters.exhale) == parameters
    assert "appearance" not in parameters.to_dict()["inhale"], "the records of other data sets stay as they were"


def test_one_of_two_hard_scans_has_contrast_agent() -> None:
    drawn = [draw_motion(np.random.RandomState(seed)).hard() for seed in range(12)]
    agents = [tuple(side.appearance.blood_hu > 100 for side in (one.inhale, one.exhale)) for one in drawn]  # type: ignore[union-attr]
    assert set(agents) == {(True, False), (False, True)}


def test_one_seed_gives_one_draw_and_another_another() -> None:
    first, again, other = (draw_motion(np.random.RandomState(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_two_sides_are_acquired_differently() -> None:
    parameters = draw_motion(np.random.RandomState(3))
    for name in ("in_plane_mm", "slice_mm", "kernel", "noise_hu", "margin_low_mm", "margin_high_mm"):
        assert getattr(parameters.inhale, name) != getattr(parameters.exhale, name), name


@pytest.mark.parametrize("seed", range(5))
def test_the_larger_lift_lies_in_the_range_and_the_other_below(seed: int) -> None:
    right, left = draw_motion(np.random.RandomState(seed), diaphragm_mm=(20.0, 24.0)).diaphragm_mm
    assert 20.0 <= max(right, left) <= 24.0
    assert min(right, left) >= 0.75 * max(right, left)


@pytest.mark.parametrize(("swap_prob", "expected"), [(0.0, {False}), (1.0, {True}), (0.5, {False, True})])
def test_scans_are_swapped_as_often_as_asked(swap_prob: float, expected: set[bool]) -> None:
    rng = np.random.RandomState(0)
    assert {draw_motion(rng, swap_prob=swap_prob).swap for _ in range(12)} == expected


def test_damping_takes_more_of_the_local_motion_than_of_the_lift() -> None:
    parameters = draw_motion(np.random.RandomState(0))
    damped = parameters.damped(0.5)
    for before, after in zip(parameters.waves, damped.waves, strict=True):
        np.testing.assert_allclose(after.amplitude_mm, 0.5 * np.array(before.amplitude_mm))
        assert after.wave_per_mm == before.wave_per_mm
    np.testing.assert_allclose(damped.diaphragm_mm, 0.5 ** (1 / 3) * np.array(parameters.diaphragm_mm))


def test_a_position_stays_within_its_limits() -> None:
    rng = np.random.RandomState(0)
    positions = [draw_position(rng) for _ in range(20)]
    for axis, (low, high) in enumerate(SHIFT_MM):
        assert all(low <= shift[axis] <= high for shift, _ in positions)
    assert max(abs(angle) for _, angles in positions for angle in angles) <= ROTATION_DEG
