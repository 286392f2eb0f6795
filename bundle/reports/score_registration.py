"""Score one registered pair."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from bundle.losses import LocalCrossCorrelationLoss
from bundle.metrics import folding_percent, sd_log_jacobian


class ScoreRegistrationd(Transform):
    """Add what tables and reports say about a pair beside its landmarks.

    `lcc_aligned`, `lcc_registered`: mean squared local correlation in the fixed lungs on the network grid, after the
    initial alignment and after the network. `folding_percent`, `sd_log_jacobian`: of the whole transform in the fixed
    lungs on the fixed grid. `time_s`: seconds from loading to here.
    """

    def __init__(self) -> None:
        self.lcc = LocalCrossCorrelationLoss()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        fixed_net, moving_net = torch.as_tensor(pair["image"]).cpu()[:, None].split(1)
        mask_net = torch.as_tensor(pair["mask_net"]).cpu()[None]
        pair["lcc_aligned"] = -float(self.lcc(moving_net, fixed_net, mask=mask_net))
        pair["lcc_registered"] = -float(self.lcc(torch.as_tensor(pair["warped_net"])[None], fixed_net, mask=mask_net))
        pair["folding_percent"] = folding_percent(pair["jacobian"], pair["fixed_mask"])
        pair["sd_log_jacobian"] = sd_log_jacobian(pair["jacobian"], pair["fixed_mask"])
        pair["time_s"] = sum(float(seconds) for seconds in pair["seconds_by_step"].values())
        return pair
