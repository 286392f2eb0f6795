from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.quality import vessel_residual

SHAPE = (44, 40, 48)
SPACING_MM = (2.0, 2.5, 3.0)


def vessels(seed: int = 0) -> Tensor:
    """Dark parenchyma (H, W, D) with 500 bright blobs, intensities from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.zeros(SHAPE)
    places = torch.stack([torch.randint(2, side - 2, (500,), generator=generator) for side in SHAPE])
    seeds[places.unbind(0)] = 1.0
    smooth = F.avg_pool3d(F.avg_pool3d(seeds[None, None], 3, stride=1, padding=1), 3, stride=1, padding=1)[0, 0]
    return 0.15 + 0.8 * smooth / smooth.max()


def lungs() -> Tensor:
    mask = torch.zeros(SHAPE)
    mask[4:-4, 4:-4, 4:-4] = 1
    return mask


def test_identical_scans_have_no_residual() -> None:
    found = vessel_residual(vessels(), vessels(), lungs(), SPACING_MM)
    assert len(found.ncc) > 50
    assert found.matched == 1.0
    assert found.quantile_mm(0.95) < 0.5  # the peak of the correlation is not symmetric


def test_a_shift_is_measured_in_millimetres() -> None:
    for axis, size in enumerate(SPACING_MM):
        found = vessel_residual(vessels(), vessels().roll(2, dims=axis), lungs(), SPACING_MM)
        torch.testing.assert_close(torch.tensor(found.quantile_mm(0.5)), torch.tensor(2 * size), atol=0.1, rtol=0)


def test_half_a_voxel_is_resolved() -> None:
    between = (vessels() + vessels().roll(1, dims=0)) / 2
    found = vessel_residual(vessels(), between, lungs(), SPACING_MM)
    assert abs(found.quantile_mm(0.5) - 1.0) < 0.3


def test_unrelated_scans_do_not_match() -> None:
    found = vessel_residual(vessels(), vessels(seed=1), lungs(), SPACING_MM)
    assert found.matched < 0.3


@pytest.mark.parametrize("volume", [vessels() * 0, torch.full(SHAPE, 0.15)], ids=["empty mask", "no vessels"])
def test_where_there_are_no_vessels_nothing_is_measured(volume: Tensor) -> None:
    found = vessel_residual(volume, vessels(), lungs() * volume.gt(0), SPACING_MM)
    assert math.isnan(found.matched)
    assert math.isnan(found.quantile_mm(0.5))
