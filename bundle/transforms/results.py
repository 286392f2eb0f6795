"""Results of a registration: on the network grid, and on the grids of the two scans."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from bundle.geometry import WorldTransform, jacobian_determinant, warp
from bundle.resample import AIR_HU, resample_displaced
from bundle.transforms.world_transform import world_transform


class ResultsOnNetworkGridd(Transform):
    """Add `warped_net` (1, H, W, D), the network's moving image warped with its ddf, and the ddf's `jacobian_net`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        ddf_vox = torch.as_tensor(pair["pred"]).float().cpu()
        moving_net = torch.as_tensor(pair["image"])[1:].float().cpu()
        pair["warped_net"] = warp(moving_net[None], ddf_vox[None])[0]
        pair["jacobian_net"] = jacobian_determinant(ddf_vox, torch.eye(4))[None]
        return pair


class ResultsOnNativeGridsd(Transform):
    """Add the registration's results on the scans' own grids.

    On the fixed grid: `displacement_mm` (3, H, W, D), RAS; `warped` and `aligned` (1, H, W, D), HU, the moving scan
    warped with the whole transform and with the initial alignment only; `jacobian` (1, H, W, D) of the whole transform.
    On the moving grid: `inverse_displacement_mm` (3, H, W, D), RAS.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        fixed, moving = pair["fixed"], pair["moving"]
        transform = world_transform(pair)
        pair["displacement_mm"] = _displacement(transform, fixed)
        pair["jacobian"] = MetaTensor(
            jacobian_determinant(pair["displacement_mm"].as_tensor(), fixed.affine)[None], affine=fixed.affine
        )
        pair["warped"] = _warp(moving, pair["displacement_mm"], fixed)
        pair["aligned"] = warp_to_fixed(moving, transform.affine_only, fixed)
        pair["inverse_displacement_mm"] = _displacement(transform.inverse(), moving)
        return pair


def _grid(scan: MetaTensor) -> tuple[int, int, int]:
    height, width, depth = scan.shape[1:]
    return height, width, depth


def _displacement(transform: WorldTransform, scan: MetaTensor) -> MetaTensor:
    return MetaTensor(transform.displacement_mm(_grid(scan), scan.affine), affine=scan.affine)


def warp_to_fixed(moving: MetaTensor, transform: WorldTransform, fixed: MetaTensor) -> MetaTensor:
    """Warp the moving scan (1, H, W, D), HU, to the fixed scan's own grid with a transform; air outside the scan."""
    return _warp(moving, _displacement(transform, fixed), fixed)


def _warp(moving: MetaTensor, displacement_mm: MetaTensor, fixed: MetaTensor) -> MetaTensor:
    scan, displacement = moving.as_tensor().float().cpu(), displacement_mm.as_tensor()
    warped = resample_displaced(scan, moving.affine, displacement, fixed.affine, AIR_HU)
    return MetaTensor(warped, affine=fixed.affine)
