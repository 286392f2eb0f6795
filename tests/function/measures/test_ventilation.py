from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bundle.function.measures.ventilation import (
    air_change_by_intensity,
    corrected_air_change,
    hu_ventilation,
    mass_factor,
    volume_change,
)
from tests.function.breaths import SHEAR, UNIFORM, density_at, make_scans


def truth(matrix: torch.Tensor, exhale: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Volume ratio inhale to exhale, and the air fractions (n,) of inhale and exhale at the fixed lung voxels."""
    scans = make_scans(matrix)
    determinant = float(torch.linalg.det(matrix))
    fixed = density_at(scans.breath(exhale).points_mm()).numpy() / 1000
    moving = fixed / determinant
    inhale, exhaled = (moving, fixed) if exhale == "fixed" else (fixed, moving)
    return (determinant if exhale == "fixed" else 1 / determinant), 1 - inhale, 1 - exhaled


@pytest.mark.parametrize("matrix", [UNIFORM, SHEAR])
@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_all_measures_have_their_exact_value_where_mass_is_conserved(matrix: torch.Tensor, exhale: str) -> None:
    breath = make_scans(matrix).breath(exhale)
    ratio, inhale, exhaled = truth(matrix, exhale)
    np.testing.assert_allclose(volume_change(breath, 0.0), ratio - 1, atol=1e-3)
    expected = ratio * inhale / exhaled - 1
    for measure in (corrected_air_change, air_change_by_intensity, hu_ventilation):  # equal, as no tissue is lost
        np.testing.assert_allclose(measure(breath, 0.0), expected, atol=2e-3)


@pytest.mark.parametrize("sigma_mm", [2.0, 8.0])
def test_smoothing_keeps_a_uniform_volume_change(sigma_mm: float) -> None:
    np.testing.assert_allclose(volume_change(make_scans(UNIFORM).breath(), sigma_mm), 0.9**-3 - 1, atol=1e-3)


def test_simons_formula_in_hu_is_the_one_in_air_fractions() -> None:
    breath = make_scans(SHEAR).breath()
    inhale, exhale = (hu[breath.inside] for hu in (breath.inhale_hu, breath.exhale_hu))
    expected = 1000 * (inhale - exhale) / (exhale * (inhale + 1000))
    np.testing.assert_allclose(air_change_by_intensity(breath, 0.0), expected, rtol=1e-3, atol=1e-4)


def test_hu_ventilation_leaves_out_vessels_in_either_scan() -> None:
    breath = make_scans(UNIFORM).breath()
    first, second = np.argwhere(breath.inside)[[100, 200]]
    inhale, exhale = breath.inhale_hu.copy(), breath.exhale_hu.copy()
    inhale[tuple(first)], exhale[tuple(second)] = 40.0, -249.0
    found = hu_ventilation(replace(breath, inhale_hu=inhale, exhale_hu=exhale), 4.0)
    assert np.flatnonzero(np.isnan(found)).tolist() == [100, 200]
    np.testing.assert_allclose(
        np.delete(found, [100, 200]), np.delete(hu_ventilation(breath, 4.0), [100, 200]), atol=0.05
    )


def test_tissue_has_no_change_of_air() -> None:
    breath = make_scans(UNIFORM).breath()
    solid = replace(breath, exhale_hu=np.full_like(breath.exhale_hu, -40.0))
    for measure in (corrected_air_change, air_change_by_intensity):
        assert np.isnan(measure(solid, 0.0)).all()


def test_mass_correction_removes_blood_that_enters_between_the_scans() -> None:
    same = hu_ventilation(make_scans(UNIFORM).breath(), 0.0)
    more = make_scans(UNIFORM, mass=0.8).breath()
    assert mass_factor(more) == pytest.approx(0.8, rel=1e-3)
    assert not np.allclose(hu_ventilation(more, 0.0), same, atol=0.05)
    corrected = hu_ventilation(more, 0.0, mass_correction=True)
    lighter = make_scans(UNIFORM)
    thin = [scan.as_tensor() * 0.8 - 200 for scan in (lighter.fixed, lighter.moving)]  # 0.8 of both densities
    fixed, moving = lighter.fixed.clone(), lighter.moving.clone()
    fixed.copy_(thin[0])
    moving.copy_(thin[1])
    expected = hu_ventilation(lighter._replace(fixed=fixed, moving=moving).breath(), 0.0)
    np.testing.assert_allclose(corrected, expected, atol=2e-3)
