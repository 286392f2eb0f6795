from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom import PhantomCase
from bundle.synthetic.phantom.motion import LungMotion


@pytest.fixture(params=[0, 1], ids=["right", "left"])
def motion(phantom: PhantomCase, request: pytest.FixtureRequest) -> LungMotion:
    return phantom.transform.motions[request.param]


def test_inverse_undoes_forward_to_a_nanometre(motion: LungMotion) -> None:
    points = np.stack(motion.inhale.cloud())
    a, b, z, _ = motion.inverse(*motion.forward(*points))
    np.testing.assert_allclose(np.stack([*motion.inhale.from_chart(a, b, z), z]), points, atol=1e-6)


def test_inverse_holds_in_single_precision_and_below_the_diaphragm(motion: LungMotion) -> None:
    x, y, z = (part.astype(np.float32) for part in motion.inhale.cloud())
    z = z - np.float32(70.0)
    new = motion.forward(x, y, z)
    a, b, z_old, jacobian = motion.inverse(*new)
    assert new[2].dtype == jacobian.dtype == np.float32
    old = np.stack([*motion.inhale.from_chart(a, b, z_old), z_old])
    np.testing.assert_allclose(old, np.stack([x, y, z]), atol=1e-3)


def test_the_jacobian_is_the_determinant_of_finite_differences(motion: LungMotion) -> None:
    points = np.stack(motion.inhale.cloud())
    a, b = motion.inhale.to_chart(*points)
    depth = motion.inhale.inside_depth_mm(a, b, points[2])
    points = points[:, depth > 1.0]
    step = 1e-4
    columns = []
    for axis in np.eye(3)[:, :, None] * step:
        ahead, behind = np.stack(motion.forward(*(points + axis))), np.stack(motion.forward(*(points - axis)))
        columns.append((ahead - behind) / (2 * step))
    expected = np.linalg.det(np.stack(columns).transpose(2, 1, 0))
    jacobian = motion.inverse(*motion.forward(*points))[3]
    np.testing.assert_allclose(jacobian, expected, rtol=1e-4)
    assert jacobian.min() > 0.3  # nothing folds


def test_the_wall_stays_the_wall(motion: LungMotion) -> None:
    angle, z = np.linspace(0, 2 * np.pi, 60), np.linspace(-70, 40, 60)
    x, y = motion.inhale.from_chart(np.cos(angle), np.sin(angle), z)
    a, b = motion.exhale.to_chart(*motion.forward(x, y, z))
    np.testing.assert_allclose(np.hypot(a, b), 1.0, atol=1e-9)


def test_the_diaphragm_rises_by_its_lift_and_the_apex_stays(motion: LungMotion) -> None:
    a, b = motion.inhale.to_chart(*motion.inhale.cloud())
    diaphragm, top = motion.inhale.diaphragm_mm(a, b), motion.inhale.top_mm(a, b)
    for surface, lift in ((diaphragm, motion.lift_at(a, b)), (top, np.zeros_like(top))):
        x, y = motion.inhale.from_chart(a, b, surface)
        np.testing.assert_allclose(motion.forward(x, y, surface)[2] - surface, lift, atol=1e-9)
    assert 13.0 < motion.lift_at(a, b).max() <= 31.0 + 1e-9
