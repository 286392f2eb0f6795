from __future__ import annotations

import pytest
import SimpleITK as sitk
import torch

from bundle import geometry
from bundle.geometry import identity_vox
from bundle.resample import resample, resample_displaced
from tests.grids import FIXED_SHAPE, MOVING_SHAPE, from_sitk, make_affine, make_case, to_sitk, waves_vox

OUTSIDE_HU = -1000.0
FLIPS = [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)]


def random_scan(seed: int = 1) -> torch.Tensor:
    """(1, H, W, D) HU whose neighbours differ by up to 1000."""
    return torch.rand(1, *MOVING_SHAPE, generator=torch.Generator().manual_seed(seed)) * 1000 - 900


@pytest.mark.parametrize("flip", FLIPS)
def test_warped_scan_is_simpleitks(flip: tuple[int, int, int]) -> None:
    case = make_case(flip)
    moving = random_scan()
    points_vox = case.transform.map_grid(FIXED_SHAPE, case.fixed_affine, case.moving_affine)
    warped = resample(moving, points_vox, OUTSIDE_HU)[0]
    displacement_mm = case.transform.displacement_mm(FIXED_SHAPE, case.fixed_affine)
    displaced = resample_displaced(moving, case.moving_affine, displacement_mm, case.fixed_affine, OUTSIDE_HU)[0]
    reference_grid = to_sitk(torch.zeros(FIXED_SHAPE), case.fixed_affine)
    image = to_sitk(moving[0], case.moving_affine)
    expected = from_sitk(sitk.Resample(image, reference_grid, case.reference, sitk.sitkLinear, OUTSIDE_HU))
    assert 0.1 < (expected == OUTSIDE_HU).double().mean() < 0.9  # both rules are at work
    # 1e-4 voxel between neighbours that differ by 1000 HU
    torch.testing.assert_close(warped.double(), expected, atol=0.2, rtol=0)
    torch.testing.assert_close(displaced.double(), expected, atol=0.3, rtol=0)  # world coordinates near 1400 mm


@pytest.mark.parametrize("flip", FLIPS)
def test_a_displaced_scan_is_simpleitks(flip: tuple[int, int, int]) -> None:
    centre_mm = (-12.0, 85.0, -340.0)
    affine = make_affine(FIXED_SHAPE, (4.0, 5.5, 3.0), angles_deg=(-15, 30, 5), flip=flip, centre_mm=centre_mm)
    scan_affine = make_affine(MOVING_SHAPE, (6.0, 3.5, 2.5), angles_deg=(10, 0, -20), centre_mm=(0.0, 75.0, -325.0))
    displacement_mm = waves_vox(FIXED_SHAPE, amplitude_vox=9.0)[0] + torch.tensor([12.0, -9.0, 14.0]).view(3, 1, 1, 1)
    scan = random_scan()
    move = sitk.DisplacementFieldTransform(to_sitk(displacement_mm, affine))
    grid = to_sitk(torch.zeros(FIXED_SHAPE), affine)
    expected = from_sitk(sitk.Resample(to_sitk(scan[0], scan_affine), grid, move, sitk.sitkLinear, OUTSIDE_HU))
    assert 0.1 < (expected == OUTSIDE_HU).double().mean() < 0.9  # both rules are at work
    displaced = resample_displaced(scan, scan_affine, displacement_mm, affine, OUTSIDE_HU)[0]
    torch.testing.assert_close(displaced.double(), expected, atol=0.1, rtol=0)


def test_every_channel_is_read_and_keeps_its_type() -> None:
    affine = make_affine(MOVING_SHAPE, (1.0, 2.0, 3.0), angles_deg=(20, 0, 10))
    channels = torch.cat([random_scan(1), random_scan(2)]).double()
    unmoved = resample_displaced(channels, affine, torch.zeros(3, *MOVING_SHAPE), affine, OUTSIDE_HU)
    assert unmoved.dtype == torch.float64
    torch.testing.assert_close(unmoved, channels, atol=0.01, rtol=0)


@pytest.mark.parametrize("shift_vox", [0.49, 0.5, 0.51, -0.49, -0.5, -0.51])
def test_a_scan_ends_half_a_voxel_beyond_its_centres_as_in_itk(shift_vox: float) -> None:
    shape = (4, 5, 6)
    volume = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.tensor([0.0, shift_vox, 0.0], dtype=torch.float64)
    points = identity_vox(list(shape), volume)[0].double() + shift.view(3, 1, 1, 1)
    shifted = torch.eye(4, dtype=torch.float64)
    shifted[:3, 3] = shift
    image, grid = to_sitk(volume[0], torch.eye(4)), to_sitk(volume[0], shifted)
    expected = from_sitk(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -5.0))
    torch.testing.assert_close(resample(volume, points, fill=-5.0)[0], expected, atol=1e-6, rtol=0)


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = torch.cat([random_scan(1), random_scan(2)])
    affine = make_affine(FIXED_SHAPE, (6.0, 7.0, 5.0), angles_deg=(-15, 30, 5))
    scan_affine = make_affine(MOVING_SHAPE, (6.0, 3.5, 2.5), angles_deg=(10, 0, -20))
    displacement_mm = waves_vox(FIXED_SHAPE, amplitude_vox=9.0)[0]
    points_vox = identity_vox(list(FIXED_SHAPE), scan)[0] + waves_vox(FIXED_SHAPE, amplitude_vox=3.0)[0]

    def results() -> tuple[torch.Tensor, torch.Tensor]:
        displaced = resample_displaced(scan, scan_affine, displacement_mm, affine, OUTSIDE_HU)
        return resample(scan, points_vox, OUTSIDE_HU), displaced

    whole = results()
    for slab_voxels in (1, 2 * 72, 3 * 72):  # one, two or three rows of 8 x 9 voxels; the last slab is shorter
        monkeypatch.setattr(geometry, "SLAB_VOXELS", slab_voxels)
        for slabbed, expected in zip(results(), whole, strict=True):
            torch.testing.assert_close(slabbed, expected, atol=0.01, rtol=0)
