"""The transform of a registered pair, and its inverse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bundle.geometry import WorldTransform


def world_transform(pair: Mapping[Any, Any]) -> WorldTransform:
    """The pair's transform, fixed world to moving world, from `pred` (3, H, W, D) and the grid's two affines."""
    ddf_vox = torch.as_tensor(pair["pred"])[None].float().cpu()
    return WorldTransform(ddf_vox, pair["grid_to_fixed"].cpu(), pair["grid_to_moving"].cpu())


def inverse_transform(pair: Mapping[Any, Any]) -> WorldTransform:
    """Moving world to fixed world, from `inverse_ddf` (3, H, W, D) and the grid's two affines."""
    ddf_vox = torch.as_tensor(pair["inverse_ddf"])[None].float().cpu()
    return WorldTransform(ddf_vox, pair["grid_to_moving"].cpu(), pair["grid_to_fixed"].cpu())
