from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.function import make_breath
from tests.function.breaths import FIXED, FIXED_GRID, MOVING_GRID, SHEAR, UNIFORM, Scans, make_scans
from tests.grids import affine_to_sitk, from_sitk, to_sitk


@pytest.fixture(scope="module")
def scans() -> Scans:
    return make_scans(SHEAR)


def test_the_moving_scan_is_the_one_that_simpleitk_warps(scans: Scans) -> None:
    to_moving = torch.eye(4, dtype=torch.float64)
    to_moving[:3, :3], to_moving[:3, 3] = scans.matrix, torch.tensor([5.0, -3.0, 10.0])
    fixed, moving = to_sitk(scans.fixed[0].as_tensor(), FIXED_GRID), to_sitk(scans.moving[0].as_tensor(), MOVING_GRID)
    expected = from_sitk(sitk.Resample(moving, fixed, affine_to_sitk(to_moving), sitk.sitkLinear, -1000.0)).numpy()
    breath = scans.breath("moving")
    np.testing.assert_allclose(breath.exhale_hu[breath.inside], expected[scans.mask[0].numpy() > 0], atol=0.1)


@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_volumes_follow_the_determinant_whichever_scan_is_fixed(scans: Scans, exhale: str) -> None:
    breath = scans.breath(exhale)
    fixed_ml = breath.voxel_ml * int((scans.mask > 0).sum())
    moving_ml = fixed_ml * float(torch.linalg.det(SHEAR))
    inhale, exhaled = (fixed_ml, moving_ml) if exhale == "moving" else (moving_ml, fixed_ml)
    assert float(breath.inhale_ml.sum(dtype=np.float64)) == pytest.approx(inhale, rel=1e-4)
    assert float(breath.exhale_ml.sum(dtype=np.float64)) == pytest.approx(exhaled, rel=1e-4)
    assert breath.voxel_ml == pytest.approx(3.0 * 2.5 * 4.0 / 1000)


def test_values_return_to_the_place_they_came_from(scans: Scans) -> None:
    breath = scans.breath()
    hu = breath.on_fixed_grid(breath.inhale_hu[breath.inside], np.nan)
    inside = scans.mask[0].numpy() > 0
    assert hu.shape == FIXED
    np.testing.assert_array_equal(hu[inside], scans.fixed[0].numpy()[inside])
    assert np.isnan(hu[~inside]).all()
    points = torch.from_numpy(np.argwhere(inside)).double() @ FIXED_GRID[:3, :3].T + FIXED_GRID[:3, 3]
    torch.testing.assert_close(breath.points_mm(), points)


def test_lungs_at_the_border_of_the_scan_are_whole(scans: Scans) -> None:
    mask = scans.mask.clone()
    mask[:] = 1
    breath = scans._replace(mask=mask).breath()
    assert breath.inside.shape == FIXED
    assert breath.inside.all()


def test_folded_voxels_have_the_least_volume_ratio() -> None:
    breath = make_scans(UNIFORM).breath("fixed")
    ratios = breath.volume_ratio(np.array([-1.0, 0.0, 0.5, 50.0], np.float32))
    np.testing.assert_allclose(ratios, [0.1, 0.1, 0.5, 10.0])


def test_an_empty_mask_is_refused(scans: Scans) -> None:
    mask = scans.mask.clone()
    mask[:] = 0
    with pytest.raises(ValueError, match="fixed_mask: the mask holds no voxel above 0"):
        make_breath(scans.fixed, scans.moving, mask, scans.transform, "moving")
