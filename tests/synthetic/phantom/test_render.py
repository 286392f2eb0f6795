from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bundle.synthetic.phantom import PhantomCase
from bundle.synthetic.phantom.render import Scene, add_noise, grid_points, render
from bundle.synthetic.phantom.tissue import Parenchyma
from bundle.synthetic.phantom.trees import Structures, Tubes

NOTHING = Tubes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


@pytest.fixture(scope="module")
def bare(phantom: PhantomCase) -> Scene:
    """The phantom without tubes, its parenchyma of one density."""
    even = Parenchyma(120.0, 0.0, np.zeros((0, 5)), np.array([[[1e4, 0.0]] * 2] * 2))
    return Scene(
        phantom.transform.anatomy, phantom.transform, even, Structures(NOTHING, NOTHING, NOTHING, np.zeros((0, 3)))
    )


def inhale_of(case: PhantomCase, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels (N, 3) of one lung in the exhale scan, their depth below the pleura at inhale and their Jacobian."""
    voxels = np.argwhere(case.moving_mask)
    centres = voxels @ case.moving_affine[:3, :3].T + case.moving_affine[:3, 3]
    patient = np.stack(case.transform.rigid_inverse(*centres.T))
    motion = case.transform.motions[index]
    own = np.hypot(*motion.exhale.to_chart(*patient)) < 1.0
    a, b, z, jacobian = motion.inverse(*patient[:, own])
    return voxels[own], motion.inhale.inside_depth_mm(a, b, z), jacobian


@pytest.mark.parametrize("index", [0, 1], ids=["right", "left"])
def test_the_parenchyma_s_density_is_divided_by_the_jacobian(phantom: PhantomCase, bare: Scene, index: int) -> None:
    hu, _ = render(bare, phantom.moving.shape, phantom.moving_affine, exhale=True)
    voxels, depth, jacobian = inhale_of(phantom, index)
    deep = depth > 3.0  # voxels nearer to the pleura share the chest wall
    np.testing.assert_allclose(hu[tuple(voxels[deep].T)], 120.0 / jacobian[deep] - 1000.0, atol=0.05)


def test_so_the_parenchyma_keeps_its_mass(phantom: PhantomCase) -> None:
    exhale = sum(float((1.0 / inhale_of(phantom, index)[2]).sum()) for index in (0, 1))
    exhale_mm3 = exhale * abs(np.linalg.det(phantom.moving_affine))
    inhale_mm3 = phantom.fixed_mask.sum() * abs(np.linalg.det(phantom.fixed_affine))
    assert exhale_mm3 == pytest.approx(inhale_mm3, rel=0.01)
    assert phantom.moving_mask.sum() * abs(np.linalg.det(phantom.moving_affine)) < 0.85 * inhale_mm3


def test_the_mask_is_where_the_lung_is(phantom: PhantomCase) -> None:
    points = [
        np.broadcast_to(part, phantom.fixed.shape) for part in grid_points(phantom.fixed.shape, phantom.fixed_affine)
    ]
    inside = np.zeros(phantom.fixed.shape, bool)
    for lung in phantom.transform.anatomy.lungs:
        a, b = lung.to_chart(*points)
        inside |= (a * a + b * b < 1) & (points[2] > lung.diaphragm_mm(a, b)) & (points[2] < lung.top_mm(a, b))
    assert np.count_nonzero(inside != (phantom.fixed_mask > 0)) < 5  # rounding of float32


def test_vessels_are_brighter_and_airways_darker_than_the_tissue(phantom: PhantomCase, bare: Scene) -> None:
    line = np.array([[70.0, 0.0, -20.0], [70.0, 0.0, 40.0]])
    shape, affine = (24, 20, 24), np.diag([2.0, 2.5, 3.0, 1.0])
    affine[:3, 3] = (47.0, -23.0, -25.0)
    middle = tuple(np.rint((line.mean(axis=0) - affine[:3, 3]) / np.diag(affine)[:3]).astype(int))
    for part, low, high in (("vessels", 20, 60), ("airways", -1001, -960)):
        structures = replace(bare.structures, **{part: Tubes.along(line, 5.0)})
        hu, _ = render(replace(bare, structures=structures), shape, affine, exhale=False)
        assert low < hu[middle] < high


def test_noise_has_its_standard_deviation_and_is_correlated() -> None:
    hu = np.full((30, 40, 50), -850.0, np.float32)
    noisy = add_noise(hu, np.random.default_rng(0), 30.0)
    assert noisy.dtype == np.int16
    assert noisy.std() == pytest.approx(30.0, rel=0.02)
    neighbours = np.corrcoef(noisy[1:].ravel(), noisy[:-1].ravel())[0, 1]
    assert 0.15 < neighbours < 0.7
