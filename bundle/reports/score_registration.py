"""Score one registered pair."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform, generate_spatial_bounding_box

from bundle.geometry import WorldTransform
from bundle.losses import LocalCrossCorrelationLoss
from bundle.metrics import folding_percent, sd_log_jacobian
from bundle.resample import warp_volume
from bundle.transforms.world_transform import world_transform


class ScoreRegistrationd(Transform):
    """Add the scores of a pair that need no landmarks.

    `lncc_aligned`, `lncc_registered`: mean squared LNCC in the fixed lungs on the network grid, after the initial
    alignment and after the whole transform. `folding_percent`, `sd_log_jacobian`: of the whole transform in the fixed
    lungs on the network grid. `lung_dice`, if both masks were given: Dice of the lungs without registration ("none"),
    after the initial alignment ("aligned") and after the whole transform ("registered"). `time_s`: wall time since
    loading began.
    """

    def __init__(self) -> None:
        self.lncc = LocalCrossCorrelationLoss()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        fixed_net, moving_net = torch.as_tensor(pair["image"]).cpu()[:, None].split(1)
        mask_net = torch.as_tensor(pair["mask_net"]).cpu()[None]
        warped_net = torch.as_tensor(pair["warped_net"])[None]
        start, stop = generate_spatial_bounding_box(mask_net[0], margin=self.lncc.window_vox // 2, allow_smaller=True)
        h, w, d = (slice(*ends) for ends in zip(start, stop, strict=True))  # all that the windows reach
        fixed, moving, warped, mask = (part[..., h, w, d] for part in (fixed_net, moving_net, warped_net, mask_net))
        pair["lncc_aligned"] = -float(self.lncc(moving, fixed, mask=mask))
        pair["lncc_registered"] = -float(self.lncc(warped, fixed, mask=mask))
        inside = (mask_net > 0.5 * mask_net.max())[0]  # masks thinner than a voxel of the grid have no half
        scaling = float(torch.linalg.det(pair["initial_affine"].double()))
        pair["folding_percent"] = folding_percent(scaling * pair["jacobian_net"], inside)
        pair["sd_log_jacobian"] = sd_log_jacobian(scaling * pair["jacobian_net"], inside)
        if pair["fixed_mask_given"] and pair["moving_mask_given"]:
            transform, grid = world_transform(pair), torch.eye(4, dtype=torch.float64)
            pair["lung_dice"] = {
                "none": _lung_dice(pair, WorldTransform(torch.zeros(1, 3, 2, 2, 2), grid, grid)),
                "aligned": _lung_dice(pair, transform.affine_only),
                "registered": _lung_dice(pair, transform),
            }
        pair["time_s"] = sum(float(seconds) for seconds in pair["seconds_by_step"].values())
        return pair


def _lung_dice(pair: Mapping[Hashable, Any], transform: WorldTransform) -> float:
    """Dice of the fixed mask and the moving mask warped through a transform, on the fixed grid."""
    fixed, moving = pair["fixed_mask"], pair["moving_mask"]
    lungs = fixed.as_tensor()[0] > 0
    common = warped = 0
    slabs = warp_volume(moving.as_tensor().float(), moving.affine, transform, lungs.shape, fixed.affine, 0.0)
    for rows, part in slabs:
        inside = part[0] >= 0.5
        warped += int(inside.sum())
        common += int((inside & lungs[rows]).sum())
    return 2 * common / (warped + int(lungs.sum()))
