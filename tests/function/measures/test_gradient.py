from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.function.measures.gradient import LungGradient, lung_gradient
from bundle.geometry import WorldTransform, apply_affine
from bundle.transforms import jacobian_on_grid
from tests.function.breaths import FIXED_GRID, SHEAR, UNIFORM, make_scans
from tests.grids import make_affine, to_sitk, voxel_centres_mm, waves_vox


def on_grid(gradient: LungGradient, values: torch.Tensor, shape: tuple[int, ...], affine: torch.Tensor) -> np.ndarray:
    (volume,) = gradient.on_grid(values[None], shape, affine)
    return volume


@pytest.mark.parametrize("matrix", [UNIFORM, SHEAR])
def test_the_gradient_of_a_linear_map_is_its_matrix_up_to_the_pleura(matrix: torch.Tensor) -> None:
    scans = make_scans(matrix)
    inside = scans.mask[0].numpy() > 0
    gradient = lung_gradient(scans.transform, inside, FIXED_GRID)
    for row in range(3):
        for column in range(3):
            values = on_grid(gradient, gradient.matrices[row, column], inside.shape, FIXED_GRID)[inside]
            np.testing.assert_allclose(values, float(matrix[row, column]), atol=1e-4)
    determinant = on_grid(gradient, gradient.determinant, inside.shape, FIXED_GRID)[inside]
    np.testing.assert_allclose(determinant, float(torch.linalg.det(matrix)), atol=1e-4)


def test_simpleitk_finds_the_same_determinant_within_the_lungs() -> None:
    shape = (20, 18, 16)
    grid = make_affine(shape, (3.0, 2.5, 4.0), flip=(-1, -1, 1))  # identity in LPS: the filter ignores directions
    transform = WorldTransform(waves_vox(shape, amplitude_vox=0.6), grid, grid)
    inside = np.zeros(shape, np.bool_)
    inside[4:-4, 4:-4, 4:-4] = True
    field = torch.einsum("ab,bhwd->ahwd", grid[:3, :3].float(), transform.ddf_vox[0])
    expected = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(to_sitk(field, grid))).T
    gradient = lung_gradient(transform, inside, grid)
    determinant = on_grid(gradient, gradient.determinant, shape, grid)
    deep = (slice(5, -5),) * 3
    assert np.ptp(expected[deep]) > 0.3
    np.testing.assert_allclose(determinant[deep], expected[deep], atol=1e-4)


def test_sliding_along_the_pleura_does_not_enter_the_lungs() -> None:
    shape = (24, 22, 26)
    grid = make_affine(shape, (3.0, 3.0, 3.0))
    points_mm = voxel_centres_mm(shape, grid)
    is_lung = points_mm[:, 0] < 1.0
    moved = points_mm.clone()
    moved[is_lung, 2] *= 0.8  # the lung is compressed and slides along the wall, which rests
    ddf = apply_affine(torch.linalg.inv(grid), moved) - apply_affine(torch.linalg.inv(grid), points_mm)
    transform = WorldTransform(ddf.T.reshape(1, 3, *shape).float(), grid, grid)
    inside = is_lung.view(shape).numpy()
    gradient = lung_gradient(transform, inside, grid)
    determinant = on_grid(gradient, gradient.determinant, shape, grid)
    np.testing.assert_allclose(determinant[inside], 0.8, atol=1e-4)
    shear = on_grid(gradient, gradient.matrices[2, 0], shape, grid)[inside]
    np.testing.assert_allclose(shear, 0.0, atol=1e-4)
    everywhere = torch.cat([part for _, part in jacobian_on_grid(transform, shape, grid)], dim=1)[0].numpy()
    assert np.abs(everywhere[inside] - 0.8).max() > 0.05  # differences across the pleura


def test_lungs_smaller_than_the_voxels_of_the_field_take_its_plain_differences() -> None:
    shape = (16, 16, 16)
    inside = np.zeros(shape, np.bool_)
    inside[7, 7, 7] = True
    coarse = make_affine((6, 6, 6), (40.0, 40.0, 40.0), centre_mm=(20.0, 20.0, 20.0))
    scale = torch.diag(torch.tensor([0.9, 0.9, 0.9, 1.0], dtype=torch.float64))
    transform = WorldTransform(torch.zeros(1, 3, 6, 6, 6), coarse, scale @ coarse)
    gradient = lung_gradient(transform, inside, make_affine(shape, (1.0, 1.0, 1.0)))
    determinant = on_grid(gradient, gradient.determinant, shape, make_affine(shape, (1.0, 1.0, 1.0)))
    np.testing.assert_allclose(determinant[inside], 0.9**3, atol=1e-5)
