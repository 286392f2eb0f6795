from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.function.measures.smoothing import LungSmoother

SPACING_MM = (1.5, 1.0, 3.0)


@pytest.fixture
def volume() -> tuple[np.ndarray, np.ndarray]:
    """Random values, and a mask."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 14, 9)).astype(np.float32), rng.random((12, 14, 9)) < 0.6


def test_no_smoothing_keeps_the_values(volume: tuple[np.ndarray, np.ndarray]) -> None:
    values, mask = volume
    np.testing.assert_array_equal(LungSmoother(mask, SPACING_MM, 0.0)(values), values[mask])


def test_a_constant_stays_and_the_outside_does_not_count(volume: tuple[np.ndarray, np.ndarray]) -> None:
    _, mask = volume
    values = np.where(mask, np.float32(7), np.float32(1e6))
    np.testing.assert_allclose(LungSmoother(mask, SPACING_MM, 4.0)(values), 7, rtol=1e-5)


@pytest.mark.parametrize("sigma_mm", [1.0, 2.5])
def test_the_result_is_the_weighted_mean_of_the_mask_by_distance_in_mm(
    volume: tuple[np.ndarray, np.ndarray], sigma_mm: float
) -> None:
    values, mask = volume
    places = np.argwhere(mask)
    smoothed = LungSmoother(mask, SPACING_MM, sigma_mm)(values)
    for number, place in list(enumerate(places))[::50]:
        distance_mm = np.abs((places - place) * SPACING_MM)
        near = (distance_mm <= 4 * sigma_mm + 0.5 * np.array(SPACING_MM)).all(axis=1)  # SciPy's kernel ends there
        weights = np.exp(-0.5 * (distance_mm[near] ** 2).sum(axis=1) / sigma_mm**2)
        expected = (weights * values[tuple(places[near].T)]).sum() / weights.sum()
        assert smoothed[number] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("shape", [(150, 5, 70), (7, 130, 65)])
@pytest.mark.parametrize("sigma_mm", [0.4, 6.0, 50.0])
def test_blocks_of_any_shape_give_scipys_convolution(shape: tuple[int, int, int], sigma_mm: float) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = LungSmoother(np.ones(shape, np.bool_), SPACING_MM, sigma_mm)(values)
    sigma_vox = sigma_mm / np.array(SPACING_MM)
    blurred, weights = (
        ndimage.gaussian_filter(one, sigma_vox, mode="constant", output=np.float64) for one in (values, np.ones(shape))
    )
    np.testing.assert_allclose(found.reshape(shape), blurred / weights, atol=2e-5)
