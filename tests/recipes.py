"""Recipes of weights that tests make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bundle.io import Recipe, weights_sha256, write_recipe


def make_recipe(**changes: Any) -> Recipe:
    """The recipe of a small RRN that was trained on one pair, with hashes "f" and "m"."""
    values: dict[str, Any] = {
        "network": {"_target_": "bundle.networks.RRN", "channels": [4, 4, 4, 4], "radius_vox": 1},
        "network_spacing_mm": 2.0,
        "spatial_size": None,
        "margin_mm": 15.0,
        "alignment": "affine",
        "window_hu": {"low": -1000.0, "high": -100.0},
        "training": {
            "pairs": [{"name": "a", "fixed_sha256": "f", "moving_sha256": "m"}],
            "config_files": {"configs/train.json": "c"},
            "seed": 0,
            "iterations": 7,
        },
        "licence": "Apache-2.0",
        "weights_sha256": "w",
    }
    return Recipe(**{**values, **changes})


def save_weights(network: nn.Module, path: Path, /, **changes: Any) -> Path:
    """Save a network's state dict and its recipe."""
    torch.save(network.state_dict(), path)
    write_recipe(path, make_recipe(weights_sha256=weights_sha256(network.state_dict()), **changes))
    return path
