from __future__ import annotations

import pytest
import torch
from monai.networks.blocks import Warp
from torch import Tensor

from bundle.inferers.optimization_level import OptimizationLevel, dilate, every_second
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from tests.inferers.pairs import SHAPE, central_mask, moved_pair, waves_vox


def make_loss(weight: float = 1.0) -> RegistrationLoss:
    return RegistrationLoss(
        similarity=LocalCrossCorrelationLoss(window_vox=3),
        regularization=TotalVariationLoss(squared=True),
        weight=weight,
    )


@pytest.fixture
def mask() -> Tensor:
    mask = central_mask()
    mask[..., 20:, 30:, 8:20] = 0.0
    return mask


def test_the_similarity_is_that_of_the_whole_images_in_the_region(mask: Tensor) -> None:
    image, ddf_vox = moved_pair(waves_vox()), waves_vox(amplitude_vox=0.7)
    level = OptimizationLevel(make_loss(weight=0.0), image, mask)
    boxed = ddf_vox[level.box]
    found = level.evaluate(level.matches_vox(boxed), every_second(boxed))
    warped = Warp(padding_mode="border")(image[:, 1:], ddf_vox)
    expected = LocalCrossCorrelationLoss(window_vox=3)(warped, image[:, :1], mask=mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_offset_takes_other_windows(mask: Tensor) -> None:
    """With windows at every second voxel, the eight offsets together are all windows."""
    loss = RegistrationLoss(
        similarity=LocalCrossCorrelationLoss(window_vox=3, stride_vox=2),
        regularization=TotalVariationLoss(squared=True),
        weight=0.0,
    )
    image = moved_pair(waves_vox())
    level = OptimizationLevel(loss, image, mask)
    zero = torch.zeros_like(waves_vox())[level.box]
    matches, slopes, region = level.matches_vox(zero), every_second(zero), mask[level.box]
    total = 0.0
    for h in range(2):
        for w in range(2):
            for d in range(2):
                weight = region[..., h:, w:, d:][..., ::2, ::2, ::2].sum() / region.sum()
                total += float(weight * level.evaluate(matches, slopes, (h, w, d)))
    expected = LocalCrossCorrelationLoss(window_vox=3)(image[:, 1:], image[:, :1], mask=mask)
    assert total == pytest.approx(float(expected), abs=2e-3)  # windows at the faces of the box are cropped otherwise


def test_the_regularisation_is_the_mean_squared_slope_over_two_voxels(mask: Tensor) -> None:
    level = OptimizationLevel(make_loss(), moved_pair(waves_vox()), mask)
    slope = 0.5
    ramp = torch.zeros(1, 3, *SHAPE)
    ramp[0, 1] = slope * torch.arange(SHAPE[1]).view(1, -1, 1)
    boxed = ramp[level.box]
    matches = level.matches_vox(torch.zeros_like(boxed))
    with_ramp, without = (level.evaluate(matches, slopes) for slopes in (every_second(boxed), every_second(boxed * 0)))
    assert float(with_ramp - without) == pytest.approx(slope**2 / 9, rel=1e-3)


def test_the_box_holds_the_region_and_the_reach_of_the_windows() -> None:
    region = torch.zeros(1, 1, *SHAPE)
    region[0, 0, 10, 20:24, 0] = 1
    level = OptimizationLevel(make_loss(), moved_pair(waves_vox()), region)
    assert level.box[2:] == (slice(8, 13), slice(18, 26), slice(0, 3))
    assert len(level.inside) == 3 * 6 * 2
    matches = level.matches_vox(torch.zeros(1, 3, 5, 8, 3))
    assert matches.amin(dim=0).tolist() == [9, 19, 0]
    assert matches.amax(dim=0).tolist() == [11, 24, 1]


@pytest.mark.parametrize("sides_vox", [[3, 3, 3], [1, 5, 3]])
def test_a_mask_is_dilated_by_a_box(sides_vox: list[int]) -> None:
    mask = torch.zeros(1, 1, 9, 9, 9)
    mask[..., 4, 4, 4] = 1
    dilated = dilate(mask, sides_vox)[0, 0]
    low, high = (end.tolist() for end in dilated.nonzero().aminmax(dim=0))
    assert [b - a + 1 for a, b in zip(low, high, strict=True)] == sides_vox
    assert int(dilated.sum()) == sides_vox[0] * sides_vox[1] * sides_vox[2]
