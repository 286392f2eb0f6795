from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom.anatomy import draw_anatomy
from bundle.synthetic.phantom.tissue import (
    AIR_HU,
    BLOOD_HU,
    FAT_HU,
    LIVER_HU,
    MUSCLE_HU,
    TABLE_HU,
    Parenchyma,
    abdomen_hu,
    draw_parenchyma,
    organs_hu,
    soft_step,
    table_hu,
)

ANATOMY = draw_anatomy(np.random.default_rng(0))
BLUR_MM = 0.9


def hu_at(x: float, y: float, z: float) -> float:
    return float(organs_hu(ANATOMY, np.array([x]), np.array([y]), np.array([z]), BLUR_MM)[0])


def test_organs_have_their_ct_numbers() -> None:
    width, depth = ANATOMY.body_mm
    assert hu_at(0.0, depth + 20.0, 0.0) == AIR_HU
    assert hu_at(0.0, depth - 6.0, 0.0) == pytest.approx(FAT_HU)
    assert hu_at(width - ANATOMY.fat_mm - 40.0, 0.0, 0.0) == pytest.approx(MUSCLE_HU)
    assert hu_at(*ANATOMY.heart_mm) == pytest.approx(BLOOD_HU)
    assert hu_at(0.0, ANATOMY.spine_y_mm, 12.5) > 150.0
    assert hu_at(0.0, ANATOMY.spine_y_mm - 23.0, 12.5) == pytest.approx(25.0)  # spinal canal
    assert hu_at(0.0, ANATOMY.spine_y_mm, 0.5) < 120.0  # a disc


def test_liver_lies_under_the_right_lung_and_gas_under_the_left() -> None:
    x, y, z = (
        part.ravel() for part in np.meshgrid(np.linspace(30, 130, 30), np.linspace(-50, 70, 30), [-100.0, -85.0])
    )
    assert (abdomen_hu(ANATOMY.right, x, y, z, BLUR_MM) == np.float32(LIVER_HU)).all()
    left = abdomen_hu(ANATOMY.left, -x, y, z, BLUR_MM)
    assert left.min() < -900.0
    assert left.max() == pytest.approx(LIVER_HU - 8.0, abs=1.0)


def test_the_table_is_a_shell_behind_the_back() -> None:
    y = np.linspace(-160, -110, 501)
    hu = table_hu(-120.0, np.zeros(1), y, BLUR_MM)
    assert hu[y > -121.0].max() == AIR_HU
    assert hu.max() == pytest.approx(TABLE_HU)
    inside = hu > -700
    assert np.count_nonzero(np.diff(inside.astype(int)) == 1) == 2  # two walls


@pytest.mark.parametrize("seed", range(4))
def test_parenchyma_is_that_of_an_inflated_lung(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parenchyma = draw_parenchyma(rng, ANATOMY)
    hu = parenchyma.density_at(0, *ANATOMY.right.cloud(), BLUR_MM) - 1000.0
    assert -925 < np.median(hu) < -850
    assert 10 < hu.std() < 60


def test_density_rises_towards_the_back() -> None:
    tissue = Parenchyma(100.0, 0.3, np.zeros((0, 5)), np.array([[[1e4, 0.0]] * 2] * 2))
    front, back = tissue.density_at(0, np.zeros(2), np.array([50.0, -50.0]), np.zeros(2), BLUR_MM)
    assert (front, back) == (pytest.approx(85.0), pytest.approx(115.0))


def test_a_fissure_is_a_thin_dense_sheet_and_the_second_stops_at_the_first() -> None:
    fissures = np.array([[(0.0, -1.0), (20.0, 0.0)], [(1e4, 0.0), (1e4, 0.0)]])
    tissue = Parenchyma(100.0, 0.0, np.zeros((0, 5)), fissures)
    y = np.array([0.0, 0.0, 20.0, -60.0, 30.0])
    z = np.array([0.0, 4.0, 20.0, 20.0, 5.0])
    oblique, beside, horizontal, behind, elsewhere = tissue.density_at(0, np.zeros(5), y, z, BLUR_MM)
    assert oblique == pytest.approx(330.0)
    assert horizontal == pytest.approx(330.0)
    np.testing.assert_allclose([beside, behind, elsewhere], 100.0, atol=3.0)


def test_the_soft_step_is_a_half_at_the_surface() -> None:
    np.testing.assert_allclose(soft_step(np.array([-5.0, 0.0, 5.0]), 1.0), [0.0, 0.5, 1.0])
