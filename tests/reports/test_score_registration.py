from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.losses import LocalCrossCorrelationLoss
from bundle.reports import ScoreRegistrationd
from bundle.transforms import ResultsOnNetworkGridd

NETWORK_SHAPE, FIXED_SHAPE = (16, 18, 20), (6, 7, 8)


def make_pair() -> dict[str, Any]:
    """A moving image that is the fixed one shifted by a voxel, and the ddf that brings it back."""
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(NETWORK_SHAPE[0] + 1, *NETWORK_SHAPE[1:], generator=generator)
    ddf_vox = torch.zeros(3, *NETWORK_SHAPE)
    ddf_vox[0] = 1.0
    mask_net = torch.zeros(1, *NETWORK_SHAPE)
    mask_net[:, 2:12, 3:15, 4:16] = 1.0
    fixed_mask = torch.zeros(1, *FIXED_SHAPE, dtype=torch.uint8)
    fixed_mask[:, 1:5, 1:6, 2:7] = 1
    return {
        "pred": ddf_vox,
        "image": torch.stack([texture[1:], texture[:-1]]),
        "mask_net": MetaTensor(mask_net),
        "initial_affine": torch.eye(4, dtype=torch.float64),
        "fixed_mask": MetaTensor(fixed_mask),
        "fixed_mask_given": False,
        "moving_mask_given": True,
        "seconds_by_step": {"LoadImaged": 1.5, "Network": torch.tensor(2.25)},
    }


def test_the_correlation_rises_to_one_where_the_field_is_right() -> None:
    pair = make_pair()
    pair["image"][1, 1:], pair["image"][1, 0] = pair["image"][0, :-1].clone(), 0.5  # moving(p) = fixed(p - 1)
    pair["pred"][0] = 1.0
    result = ScoreRegistrationd()(ResultsOnNetworkGridd()(pair))
    assert result["lncc_aligned"] < 0.3
    assert result["lncc_registered"] == pytest.approx(1.0, abs=1e-3)


def test_the_correlation_is_that_of_the_mask() -> None:
    pair = ResultsOnNetworkGridd()(make_pair())
    loss = LocalCrossCorrelationLoss(reduction="none")
    everywhere = -loss(pair["image"][1][None, None], pair["image"][0][None, None])[0]
    expected = everywhere[pair["mask_net"].as_tensor() > 0].mean()
    assert ScoreRegistrationd()(pair)["lncc_aligned"] == pytest.approx(float(expected), abs=1e-5)


def test_folding_and_sd_log_jacobian_are_of_the_whole_transform_in_the_fixed_lungs() -> None:
    pair = ResultsOnNetworkGridd()(make_pair())
    pair["initial_affine"] = torch.diag(torch.tensor([1.1, 0.9, 1.2, 1.0], dtype=torch.float64))
    jacobian = torch.ones(1, *NETWORK_SHAPE)
    jacobian[:, 0] = -5.0  # outside the mask
    jacobian[:, 2:7] = 2.0
    result = ScoreRegistrationd()({**pair, "jacobian_net": jacobian})
    assert result["folding_percent"] == 0.0
    assert result["sd_log_jacobian"] == pytest.approx(math.log(2) / 2)  # half of the mask is doubled
    jacobian[:, 3, 4, 5] = -1.0
    result = ScoreRegistrationd()({**pair, "jacobian_net": jacobian})
    assert result["folding_percent"] == pytest.approx(100 / (10 * 12 * 12))


def test_without_both_masks_there_is_no_dice() -> None:
    assert "lung_dice" not in ScoreRegistrationd()(ResultsOnNetworkGridd()(make_pair()))


def test_the_time_is_the_sum_of_the_steps() -> None:
    result = ScoreRegistrationd()(ResultsOnNetworkGridd()(make_pair()))
    assert result["time_s"] == pytest.approx(3.75)
    assert all(
        isinstance(result[key], float)
        for key in ("lncc_aligned", "lncc_registered", "folding_percent", "sd_log_jacobian", "time_s")
    )
