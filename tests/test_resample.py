from __future__ import annotations

import itertools

import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle import geometry
from bundle.geometry import identity_vox
from bundle.resample import coarsen, resample, resample_displaced
from tests.grids import (
    FIXED_SHAPE,
    MOVING_SHAPE,
    from_sitk,
    make_affine,
    make_case,
    to_sitk,
    voxel_centres_mm,
    waves_vox,
)

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


BLOCKS_SHAPE, BLOCKS_SPACING_MM = (13, 12, 11), (1.0, 1.5, 2.5)


def blocks_scan(angles_deg: tuple[float, float, float] = (8, -5, 12)) -> MetaTensor:
    affine = make_affine(BLOCKS_SHAPE, BLOCKS_SPACING_MM, angles_deg=angles_deg, centre_mm=(40, -30, -700))
    return MetaTensor(torch.rand(1, *BLOCKS_SHAPE, generator=torch.Generator().manual_seed(0)), affine=affine)


def test_a_block_is_the_mean_of_its_voxels_and_lies_at_their_centre() -> None:
    scan = blocks_scan()
    coarse = coarsen(scan, 4.0)  # blocks of 4 x 2 x 1 voxels
    assert coarse.shape == (1, 3, 6, 11)
    assert coarse.dtype == torch.float32
    block = scan[0, 4:8, 2:4, 5]
    torch.testing.assert_close(coarse[0, 1, 1, 5], block.mean())
    centres = voxel_centres_mm(BLOCKS_SHAPE, scan.affine).reshape(*BLOCKS_SHAPE, 3)
    expected = centres[4:8, 2:4, 5].reshape(-1, 3).mean(dim=0)
    torch.testing.assert_close(
        coarse.affine @ torch.tensor([1.0, 1, 5, 1]).double(), torch.cat([expected, torch.ones(1)])
    )


def test_a_linear_image_stays_the_same_function_of_the_world() -> None:
    scan = blocks_scan()
    slope = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    scan[0] = (voxel_centres_mm(BLOCKS_SHAPE, scan.affine) @ slope).reshape(BLOCKS_SHAPE)
    coarse = coarsen(scan, (3.0, 5.0, 6.0))
    shape = (coarse.shape[1], coarse.shape[2], coarse.shape[3])
    assert shape == (4, 4, 5)
    expected = (voxel_centres_mm(shape, coarse.affine) @ slope).reshape(1, *shape)
    torch.testing.assert_close(coarse.as_tensor(), expected.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "PIL"])
def test_storage_does_not_matter(axcodes: str) -> None:
    scan = blocks_scan()
    expected = coarsen(scan, 4.0)
    stored = Orientation(axcodes=axcodes, labels=None)(scan)
    coarse = coarsen(stored, 4.0)
    torch.testing.assert_close(coarse.as_tensor(), expected.as_tensor())
    torch.testing.assert_close(coarse.affine, expected.affine)


def test_voxels_are_never_split_and_blocks_never_exceed_the_scan() -> None:
    scan = blocks_scan()
    fine = coarsen(scan, 0.5)
    torch.testing.assert_close(fine.as_tensor(), scan.as_tensor())
    torch.testing.assert_close(fine.affine, scan.affine)
    assert coarsen(scan, 1000.0).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("target_mm", [3.0, 2.9999, 3.0001])
def test_rounding_of_headers_does_not_change_the_blocks(target_mm: float) -> None:
    scan = MetaTensor(torch.rand(1, 6, 6, 6), affine=torch.diag(torch.tensor([1.0, 1.5, 3.0, 1.0])))
    assert coarsen(scan, target_mm).shape == (1, 2, 3, 6)


@pytest.mark.parametrize("channels", [1, 3])
def test_integer_masks_become_shares(channels: int) -> None:
    mask = MetaTensor(torch.zeros(channels, 4, 4, 4, dtype=torch.uint8))
    for index in itertools.product(range(4), repeat=3):
        mask[(slice(None), *index)] = sum(index) % 2
    coarse = coarsen(mask, 2.0)
    torch.testing.assert_close(coarse.as_tensor(), torch.full((channels, 2, 2, 2), 0.5))


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SAR", "PIL"])
@pytest.mark.parametrize(
    ("low", "high"), [((0.3, 0.2, 0.4), (0.6, 0.5, 0.7)), ((-0.5, 0.4, 0.1), (0.2, 2.0, 0.3)), ((2, 2, 2), (3, 3, 3))]
)
def test_blocks_for_a_box_are_those_of_the_whole_scan(
    low: tuple[float, ...], high: tuple[float, ...], axcodes: str
) -> None:
    scan = Orientation(axcodes=axcodes, labels=None)(blocks_scan())
    ends_vox = torch.tensor([low, high], dtype=torch.float64) * torch.tensor(scan.shape[1:])
    whole, part = coarsen(scan, 4.0), coarsen(scan, 4.0, ends_vox)
    offset = torch.linalg.inv(whole.affine.double()) @ part.affine.double()
    torch.testing.assert_close(offset[:3, :3], torch.eye(3, dtype=torch.float64))
    places = tuple(
        slice(round(n), round(n) + side) for n, side in zip(offset[:3, 3].tolist(), part.shape[1:], strict=True)
    )
    torch.testing.assert_close(part[0].as_tensor(), whole[0].as_tensor()[places], atol=0, rtol=0)
    assert part.numel() < whole.numel()
    # interpolated in the box, with border values beyond the scan, both say the same
    corners = torch.cartesian_prod(*[torch.tensor(side).double() for side in ends_vox.T.tolist()])
    values = []
    for blocks in (whole, part):
        to_blocks = torch.linalg.inv(blocks.affine.double()) @ scan.affine.double()
        points = geometry.apply_affine(to_blocks, corners).T.float()
        values.append(geometry.sample_points(blocks.as_tensor(), points))
    torch.testing.assert_close(values[1], values[0], atol=1e-3, rtol=0)


def test_the_order_of_voxels_in_memory_does_not_matter() -> None:
    scan = blocks_scan()
    fastest_first = scan.as_tensor().permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    coarse = coarsen(MetaTensor(fastest_first, affine=scan.affine), (3.0, 5.0, 6.0))
    expected = coarsen(scan, (3.0, 5.0, 6.0))
    torch.testing.assert_close(coarse.as_tensor(), expected.as_tensor(), atol=1e-3, rtol=0)
    torch.testing.assert_close(coarse.affine, expected.affine)
