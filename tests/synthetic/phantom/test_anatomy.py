from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom.anatomy import Anatomy, draw_anatomy


@pytest.fixture(scope="module", params=[0, 1])
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    return draw_anatomy(np.random.default_rng(request.param))


def test_the_chart_and_its_inverse_agree(anatomy: Anatomy) -> None:
    for lung in anatomy.lungs:
        x, y, z = lung.cloud()
        again = lung.from_chart(*lung.to_chart(x, y, z), z)
        np.testing.assert_allclose(np.stack(again), np.stack([x, y]), atol=1e-9)


def test_the_volume_element_is_the_chart_s_jacobian(anatomy: Anatomy) -> None:
    a, b, z = np.array([0.3, -0.6]), np.array([0.2, -0.7]), np.array([-40.0, 60.0])
    step = 1e-5
    for lung in anatomy.lungs:
        along_a = (np.stack(lung.from_chart(a + step, b, z)) - np.stack(lung.from_chart(a - step, b, z))) / (2 * step)
        along_b = (np.stack(lung.from_chart(a, b + step, z)) - np.stack(lung.from_chart(a, b - step, z))) / (2 * step)
        expected = np.abs(along_a[0] * along_b[1] - along_a[1] * along_b[0])
        np.testing.assert_allclose(lung.volume_element(b, z), expected, rtol=1e-6)


def test_depth_is_positive_inside_only_and_about_the_distance_to_the_pleura(anatomy: Anatomy) -> None:
    for lung in anatomy.lungs:
        a, b = np.zeros(3), np.zeros(3)
        diaphragm = lung.diaphragm_mm(a, b)
        depth = lung.inside_depth_mm(a, b, diaphragm + np.array([-2.0, 0.0, 4.0]))
        np.testing.assert_allclose(depth, [-1.7, 0.0, 3.4], atol=1e-6)
        half_mm = np.ptp(lung.from_chart(np.array([0.0, 1.0]), np.zeros(2), np.zeros(2))[0])
        wall = lung.inside_depth_mm(np.array([0.98, 1.02]), np.zeros(2), np.zeros(2))
        np.testing.assert_allclose(wall, [0.02 * half_mm, -0.02 * half_mm], rtol=1e-4)


def test_the_left_lung_is_smaller_by_the_heart(anatomy: Anatomy) -> None:
    z = np.array(anatomy.heart_mm[2])
    b = np.array(anatomy.left.notch_b)
    medial = [float(np.abs(lung.from_chart(np.array(-1.0), b, z)[0])) for lung in anatomy.lungs]
    assert medial[1] > medial[0] + 15.0
    right, left = (lung.volume_element(np.linspace(-0.9, 0.9, 19), z).sum() for lung in anatomy.lungs)
    assert 0.55 * right < left < 0.9 * right


def test_the_lung_s_base_is_a_dome_that_is_lowest_at_the_back(anatomy: Anatomy) -> None:
    for lung in anatomy.lungs:
        angle = np.linspace(0, 2 * np.pi, 73)
        rim = lung.diaphragm_mm(np.cos(angle), np.sin(angle))
        assert -110 < np.degrees(angle[rim.argmin()]) - 360 < -40
        assert lung.diaphragm_mm(np.array(0.0), np.array(0.3)) > rim.max()


def test_body_scale_scales_every_length() -> None:
    one, half = (draw_anatomy(np.random.default_rng(3), body_scale=scale) for scale in (1.0, 0.5))
    assert half.right.depth_mm == pytest.approx(0.5 * one.right.depth_mm)
    assert half.heart_mm[2] == pytest.approx(0.5 * one.heart_mm[2])
    assert half.right.bend == one.right.bend
