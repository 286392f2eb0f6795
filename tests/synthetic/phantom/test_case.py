from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import apply_affine, identity_vox, sample_vox
from bundle.synthetic.dataset import FILES, write_pair
from bundle.synthetic.phantom import PhantomCase, make_phantom
from bundle.synthetic.phantom.case import DIRECTIONS, draw_grid
from bundle.synthetic.phantom.dataset import phantom_pair
from tests.synthetic.phantom.conftest import SPACING_MM

COARSE_MM = (9.0, 8.0, 10.0)


def volume_mm3(mask: np.ndarray, affine: np.ndarray) -> float:
    return float(mask.sum() * abs(np.linalg.det(affine)))


def to_vox(points_mm: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return apply_affine(torch.from_numpy(np.linalg.inv(affine)), torch.from_numpy(points_mm)).numpy()


def test_a_seed_gives_the_same_case_again_and_another_seed_another() -> None:
    first, again, other = (make_phantom(seed, spacing_mm=COARSE_MM) for seed in (7, 7, 8))
    for name in ("fixed", "moving", "fixed_mask", "fixed_affine", "fixed_landmarks_mm", "displacement_mm"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.fixed_landmarks_mm, other.fixed_landmarks_mm)


def test_patient_and_motion_do_not_depend_on_the_spacing(phantom: PhantomCase) -> None:
    coarse = make_phantom(phantom.seed, spacing_mm=COARSE_MM)
    np.testing.assert_array_equal(coarse.fixed_landmarks_mm, phantom.fixed_landmarks_mm)
    np.testing.assert_array_equal(coarse.moving_landmarks_mm, phantom.moving_landmarks_mm)


def test_arrays_have_the_stated_types_and_grids(phantom: PhantomCase) -> None:
    assert phantom.fixed.dtype == phantom.moving.dtype == np.int16
    assert phantom.fixed_mask.dtype == phantom.moving_mask.dtype == np.uint8
    assert phantom.displacement_mm.shape == (3, *phantom.fixed.shape)
    assert phantom.displacement_mm.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(phantom.fixed_affine[:3, :3], axis=0), SPACING_MM)
    assert phantom.fixed.shape != phantom.moving.shape
    assert not np.allclose(phantom.fixed_affine, phantom.moving_affine)


def test_grids_differ_in_direction_and_hold_the_lungs_with_a_margin() -> None:
    lungs = np.array([[-100.0, -90.0, -110.0], [120.0, 80.0, 130.0]])
    signs = set()
    for seed in range(8):
        shape, affine = draw_grid(np.random.default_rng(seed), lungs, np.array([2.0, 3.0, 4.0]))
        signs.add(tuple(np.sign(np.diag(affine)[:3]).astype(int).tolist()))
        vox = to_vox(lungs, affine)
        assert (vox > 2).all()
        assert (vox < np.array(shape) - 3).all()
    assert signs == set(DIRECTIONS)


def test_both_lungs_are_wholly_in_view_of_both_scans(phantom: PhantomCase) -> None:
    for mask in (phantom.fixed_mask, phantom.moving_mask):
        inner = np.zeros_like(mask)
        inner[1:-1, 1:-1, 1:-1] = mask[1:-1, 1:-1, 1:-1]
        np.testing.assert_array_equal(inner, mask)
    inside = np.argwhere(phantom.fixed_mask)
    moved = phantom.displacement_mm[(slice(None), *inside.T)].T + (
        inside @ phantom.fixed_affine[:3, :3].T + phantom.fixed_affine[:3, 3]
    )
    vox = to_vox(moved.astype(float), phantom.moving_affine)
    assert (vox > 0).all()
    assert (vox < np.array(phantom.moving.shape) - 1).all()


def test_landmarks_follow_the_sampled_field(phantom: PhantomCase) -> None:
    points = torch.from_numpy(to_vox(phantom.fixed_landmarks_mm, phantom.fixed_affine)).T.float()[
        None, :, :, None, None
    ]
    shift = sample_vox(torch.from_numpy(phantom.displacement_mm)[None], points)[0, :, :, 0, 0].T.numpy()
    error = np.linalg.norm(phantom.fixed_landmarks_mm + shift - phantom.moving_landmarks_mm, axis=1)
    assert error.mean() < 0.25  # trilinear between voxels of 4 to 5 mm, a few of them at the pleura
    assert np.median(error) < 0.1


def test_landmarks_are_distinct_inside_the_lungs_and_spread_over_both(phantom: PhantomCase) -> None:
    points = phantom.fixed_landmarks_mm
    assert points.shape == phantom.moving_landmarks_mm.shape == (300, 3)
    voxels = np.rint(to_vox(points, phantom.fixed_affine)).astype(int)
    assert phantom.fixed_mask[tuple(voxels.T)].mean() > 0.99  # rounded to coarse voxels
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e3 * np.eye(len(points))
    assert gaps.min() > 5.0
    assert 90 < (points[:, 0] > 0).sum() < 210
    lungs = np.argwhere(phantom.fixed_mask) @ phantom.fixed_affine[:3, :3].T + phantom.fixed_affine[:3, 3]
    assert (np.ptp(points, axis=0) > 0.8 * np.ptp(lungs, axis=0)).all()


def test_the_displacement_is_the_transform_at_every_voxel(phantom: PhantomCase) -> None:
    grid = identity_vox(list(phantom.fixed.shape), torch.zeros(1))[0].flatten(1).T.double()
    chosen = np.random.default_rng(0).choice(len(grid), 500, replace=False)
    points = apply_affine(torch.from_numpy(phantom.fixed_affine), grid[chosen]).numpy()
    expected = np.stack(phantom.transform.forward(*points.T)) - points.T
    error = np.abs(phantom.displacement_mm.reshape(3, -1)[:, chosen] - expected).max(axis=0)
    assert np.quantile(error, 0.99) < 1e-3  # float32 may put a point of the very pleura on its other side


def test_itk_warps_moving_onto_fixed_with_the_exact_field(phantom: PhantomCase, tmp_path: Path) -> None:
    write_pair(tmp_path, phantom_pair(phantom))
    images = {key: sitk.ReadImage(str(tmp_path / name)) for key, name in FILES.items() if name.endswith(".nii.gz")}
    vectors = sitk.ReadImage(str(tmp_path / FILES["displacement"]), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(vectors)
    mask = sitk.Resample(images["moving_mask"], images["fixed"], transform, sitk.sitkNearestNeighbor)
    warped, fixed = sitk.GetArrayFromImage(mask) > 0, sitk.GetArrayFromImage(images["fixed_mask"]) > 0
    assert 2 * (warped & fixed).sum() / (warped.sum() + fixed.sum()) > 0.97  # 0.99 at the default spacing
    smooth = [sitk.Cast(images[name], sitk.sitkFloat32) for name in ("fixed", "moving")]
    after = sitk.GetArrayFromImage(sitk.Resample(smooth[1], smooth[0], transform, sitk.sitkLinear, -1000.0))
    before = sitk.GetArrayFromImage(sitk.Resample(smooth[1], smooth[0], sitk.Transform(), sitk.sitkLinear, -1000.0))
    target = sitk.GetArrayFromImage(smooth[0])
    inside = fixed & (target < 0)
    correlation = [np.corrcoef(scan[inside], target[inside])[0, 1] for scan in (before, after)]
    assert correlation[1] > 0.65
    assert correlation[1] > correlation[0] + 0.4


@pytest.mark.parametrize("seed", range(5))
def test_motion_is_that_of_the_dirlab_copd_cases(seed: int) -> None:
    case = make_phantom(seed, spacing_mm=COARSE_MM)
    shift = case.moving_landmarks_mm - case.fixed_landmarks_mm
    assert 12.0 <= np.linalg.norm(shift, axis=1).mean() <= 31.0  # published: 12.3 to 30.9 mm
    across, front, upwards = np.abs(shift).mean(axis=0)
    assert upwards > front > 0.5 * across
    breath = np.stack(case.transform.breathe(*case.fixed_landmarks_mm.T), axis=1) - case.fixed_landmarks_mm
    assert 12.0 < breath[:, 2].max() < 32.0  # near the diaphragm, upwards
    left_right, front_back, along = np.abs(breath).mean(axis=0)
    assert along > front_back > left_right
    ratio = volume_mm3(case.moving_mask, case.moving_affine) / volume_mm3(case.fixed_mask, case.fixed_affine)
    assert 0.55 < ratio < 0.87
    assert 3.0e6 < volume_mm3(case.fixed_mask, case.fixed_affine) < 7.0e6


def test_a_spacing_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"spacing_mm: expected three positive numbers, got \(2.0, 0.0, 2.5\)"):
        make_phantom(0, spacing_mm=(2.0, 0.0, 2.5))
