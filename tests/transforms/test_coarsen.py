from __future__ import annotations

import itertools

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.transforms import coarsen
from tests.grids import make_affine, voxel_centres_mm

SHAPE, SPACING_MM = (13, 12, 11), (1.0, 1.5, 2.5)


def make_scan(angles_deg: tuple[float, float, float] = (8, -5, 12)) -> MetaTensor:
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=angles_deg, centre_mm=(40, -30, -700))
    return MetaTensor(torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)), affine=affine)


def test_a_block_is_the_mean_of_its_voxels_and_lies_at_their_centre() -> None:
    scan = make_scan()
    coarse = coarsen(scan, 4.0)  # blocks of 4 x 2 x 1 voxels
    assert coarse.shape == (1, 3, 6, 11)
    assert coarse.dtype == torch.float32
    block = scan[0, 4:8, 2:4, 5]
    torch.testing.assert_close(coarse[0, 1, 1, 5], block.mean())
    centres = voxel_centres_mm(SHAPE, scan.affine).reshape(*SHAPE, 3)
    expected = centres[4:8, 2:4, 5].reshape(-1, 3).mean(dim=0)
    torch.testing.assert_close(
        coarse.affine @ torch.tensor([1.0, 1, 5, 1]).double(), torch.cat([expected, torch.ones(1)])
    )


def test_a_linear_image_stays_the_same_function_of_the_world() -> None:
    scan = make_scan()
    slope = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    scan[0] = (voxel_centres_mm(SHAPE, scan.affine) @ slope).reshape(SHAPE)
    coarse = coarsen(scan, (3.0, 5.0, 6.0))
    shape = (coarse.shape[1], coarse.shape[2], coarse.shape[3])
    assert shape == (4, 4, 5)
    expected = (voxel_centres_mm(shape, coarse.affine) @ slope).reshape(1, *shape)
    torch.testing.assert_close(coarse.as_tensor(), expected.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "PIL"])
def test_storage_does_not_matter(axcodes: str) -> None:
    scan = make_scan()
    expected = coarsen(scan, 4.0)
    stored = Orientation(axcodes=axcodes, labels=None)(scan)
    coarse = coarsen(stored, 4.0)
    torch.testing.assert_close(coarse.as_tensor(), expected.as_tensor())
    torch.testing.assert_close(coarse.affine, expected.affine)


def test_voxels_are_never_split_and_blocks_never_exceed_the_scan() -> None:
    scan = make_scan()
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
