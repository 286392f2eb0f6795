"""Score one registered pair."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.metrics import compute_dice
from monai.transforms import Transform
from torch import Tensor

from bundle.losses import LocalCrossCorrelationLoss
from bundle.metrics import folding_percent, sd_log_jacobian
from bundle.resample import resample_displaced
from bundle.transforms import world_transform


class ScoreRegistrationd(Transform):
    """Add the scores of a pair that need no landmarks.

    `lncc_aligned`, `lncc_registered`: mean squared LNCC in the fixed lungs on the network grid, after the initial
    alignment and after the whole transform. `folding_percent`, `sd_log_jacobian`: of the whole transform in the fixed
    lungs on the fixed grid. `lung_dice`, if both masks were given: Dice of the lungs without registration ("none"),
    after the initial alignment ("aligned") and after the whole transform ("registered"). `time_s`: wall time since
    loading began.
    """

    def __init__(self) -> None:
        self.lncc = LocalCrossCorrelationLoss()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        fixed_net, moving_net = torch.as_tensor(pair["image"]).cpu()[:, None].split(1)
        mask_net = torch.as_tensor(pair["mask_net"]).cpu()[None]
        pair["lncc_aligned"] = -float(self.lncc(moving_net, fixed_net, mask=mask_net))
        pair["lncc_registered"] = -float(self.lncc(torch.as_tensor(pair["warped_net"])[None], fixed_net, mask=mask_net))
        pair["folding_percent"] = folding_percent(pair["jacobian"], pair["fixed_mask"])
        pair["sd_log_jacobian"] = sd_log_jacobian(pair["jacobian"], pair["fixed_mask"])
        if pair["fixed_mask_given"] and pair["moving_mask_given"]:
            aligned = world_transform(pair).affine_only
            shape = pair["fixed"].shape[1:]
            pair["lung_dice"] = {
                "none": _lung_dice(pair, torch.zeros(3, *shape)),
                "aligned": _lung_dice(pair, aligned.displacement_mm(shape, pair["fixed"].affine)),
                "registered": _lung_dice(pair, pair["displacement_mm"].as_tensor()),
            }
        pair["time_s"] = sum(float(seconds) for seconds in pair["seconds_by_step"].values())
        return pair


def _lung_dice(pair: Mapping[Hashable, Any], displacement_mm: Tensor) -> float:
    """Dice of the fixed mask and the moving mask warped by a displacement (3, H, W, D), RAS mm."""
    fixed, moving = pair["fixed_mask"], pair["moving_mask"]
    warped = resample_displaced(moving.as_tensor().float(), moving.affine, displacement_mm, fixed.affine, 0.0) >= 0.5
    return float(compute_dice(warped[None], fixed.as_tensor()[None] > 0))
