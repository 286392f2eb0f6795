from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bundle.function import Breath
from bundle.function.measures.response import (
    ResponseThresholds,
    median_inside,
    response_map,
    shares_percent,
)
from tests.function.breaths import UNIFORM, make_scans

LEVELS_HU = {1: (-900.0, -800.0), 2: (-900.0, -900.0), 3: (-980.0, -900.0), 4: (-980.0, -800.0)}  # inhale, exhale


@pytest.fixture
def constructed() -> tuple[Breath, np.ndarray]:
    """A breath of four quarters, a class each, and the classes (n,) of its lung voxels."""
    breath = make_scans(UNIFORM).breath()
    places = np.indices(breath.inside.shape)
    front = places[1] > breath.inside.shape[1] // 2
    top = places[2] > breath.inside.shape[2] // 2
    classes = 1 + front + 2 * top
    inhale, exhale = (
        np.select([classes == n for n in LEVELS_HU], [hu[s] for hu in LEVELS_HU.values()]) for s in (0, 1)
    )
    made = replace(breath, inhale_hu=inhale.astype(np.float32), exhale_hu=exhale.astype(np.float32))
    return made, classes[breath.inside]


@pytest.mark.parametrize("filter_name", ["none", "median", "gaussian"])
def test_classes_are_those_of_the_thresholds(constructed: tuple[Breath, np.ndarray], filter_name: str) -> None:
    breath, classes = constructed
    found = response_map(breath, ResponseThresholds(), filter_name)  # type: ignore[arg-type]
    assert set(np.unique(classes)) == {1, 2, 3, 4}
    assert (found == classes).mean() >= (1.0 if filter_name == "none" else 0.97)


def test_the_median_removes_noise(constructed: tuple[Breath, np.ndarray]) -> None:
    breath, classes = constructed
    rng = np.random.default_rng(0)
    noisy = replace(
        breath,
        inhale_hu=(breath.inhale_hu + rng.normal(0, 30, breath.inside.shape)).astype(np.float32),
        exhale_hu=(breath.exhale_hu + rng.normal(0, 30, breath.inside.shape)).astype(np.float32),
    )
    agreement = [(response_map(noisy, ResponseThresholds(), name) == classes).mean() for name in ("none", "median")]
    assert agreement[0] < 0.9
    assert agreement[1] > 0.97


@pytest.mark.parametrize(
    ("noise_hu", "median", "gaussian"), [(20, 0.9987, 0.9949), (30, 0.9778, 0.9784), (40, 0.9442, 0.9632)]
)
def test_the_share_of_right_classes_by_noise_is_that_of_the_documents(
    constructed: tuple[Breath, np.ndarray], noise_hu: float, median: float, gaussian: float
) -> None:
    breath, classes = constructed
    rng = np.random.default_rng(0)
    scans = {
        key: (hu + rng.normal(0, noise_hu, hu.shape)).astype(np.float32)
        for key, hu in (("inhale_hu", breath.inhale_hu), ("exhale_hu", breath.exhale_hu))
    }
    for name, expected in (("median", median), ("gaussian", gaussian)):
        found = response_map(replace(breath, **scans), ResponseThresholds(), name)  # type: ignore[arg-type]
        assert (found == classes).mean() == pytest.approx(expected, abs=0.005)


def test_a_voxel_at_the_threshold_is_normal(
    constructed: tuple[Breath, np.ndarray],
) -> None:
    breath, _ = constructed
    at = replace(
        breath, inhale_hu=np.full_like(breath.inhale_hu, -950.0), exhale_hu=np.full_like(breath.exhale_hu, -856.0)
    )
    assert set(response_map(at, ResponseThresholds(), "none")) == {1}
    assert set(response_map(at, ResponseThresholds(-949.0, -855.0), "none")) == {3}


def test_shares_are_those_of_the_volume() -> None:
    classes = np.array([1, 1, 2, 3, 3], np.uint8)
    volumes = np.array([1.0, 2.0, 3.0, 2.0, 2.0], np.float32)
    assert shares_percent(classes, volumes) == {
        "normal": 30.0,
        "fsad": 30.0,
        "emphysema": 40.0,
        "emptying_emphysema": 0.0,
    }


def test_the_median_is_scipys_up_to_the_border() -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(-850, 50, (9, 7, 8)).astype(np.float32)
    inside = rng.random(volume.shape) < 0.7
    np.testing.assert_array_equal(median_inside(volume, inside), ndimage.median_filter(volume, size=3)[inside])
