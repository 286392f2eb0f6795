"""The recipe of a weights file: how its network is built and what it was trained on, as JSON beside it.

`model.pt` has the recipe `model.json`. Training writes both; whatever runs the weights reads the recipe.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bundle.io.atomic import atomic_path

log = logging.getLogger(__name__)

BUNDLE_ROOT = Path(__file__).resolve().parents[2]

NETWORKS = ("bundle.networks", "monai.networks.nets")  # a recipe is data: it cannot name other code to run
HOW_TO_GET = "training writes it beside the weights; keep the two files together (docs/method.md, 'Recipes')"


@dataclass(frozen=True)
class Recipe:
    """The settings a network was trained with, and the pairs it was trained on.

    Args:
        network: its class (`_target_`) and arguments, as in a MONAI config.
        network_spacing_mm: voxel size of its input; None if it was trained on grids of a fixed size.
        spatial_size: that size (3), voxels; None if `network_spacing_mm` is given.
        margin_mm: of the network grid around the fixed lungs.
        alignment: initial alignment, see `bundle.transforms.align_lungs`.
        window_hu: `low` and `high`, the HU that become 0 and 1.
        training: `pairs` (a list of `name`, `fixed_sha256`, `moving_sha256`, see `content_sha256`), `config_files`
            (their SHA-256 by name), `seed`, `iterations`.
        licence: of the weights.
        weights_sha256: see `weights_sha256`.
    """

    network: Mapping[str, Any]
    network_spacing_mm: float | None
    spatial_size: list[int] | None
    margin_mm: float
    alignment: str
    window_hu: Mapping[str, float]
    training: Mapping[str, Any]
    licence: str
    weights_sha256: str

    def build_network(self) -> nn.Module:
        """The network, with initial weights. Raises: ValueError unless its class is one of `NETWORKS`."""
        arguments = dict(self.network)
        target = str(arguments.pop("_target_", None))
        package, _, name = target.rpartition(".")
        network_class = getattr(import_module(package), name, None) if package in NETWORKS else None
        if not (isinstance(network_class, type) and issubclass(network_class, nn.Module)):
            raise ValueError(f"recipe: expected a network of {' or '.join(NETWORKS)}, got {target}")
        network: nn.Module = network_class(**arguments)
        return network

    def was_trained_on(self, scan_hashes: Iterable[str]) -> bool:
        """Whether a scan with one of these `content_sha256` is among the training pairs."""
        trained = {pair[key] for pair in self.training["pairs"] for key in ("fixed_sha256", "moving_sha256")}
        return not trained.isdisjoint(scan_hashes)


FIELDS = {field.name for field in dataclasses.fields(Recipe)}


def recipe_path(weights: str | Path) -> Path:
    """Where the recipe of a weights file lies."""
    return Path(weights).with_suffix(".json")


def read_recipe(
    weights: str | Path,
    *,
    network_spacing_mm: float | None = None,
    spatial_size: list[int] | None = None,
    alignment: str | None = None,
) -> Recipe:
    """Read the recipe of a weights file.

    Args:
        weights: the file, which is not read; see `check_weights`.
        network_spacing_mm, spatial_size, alignment: explicit settings. They replace the recipe's, with a warning where
            they differ from it.
    Raises: FileNotFoundError if there is no recipe; ValueError if it is malformed or both `network_spacing_mm` and
        `spatial_size` are given.
    """
    path = recipe_path(weights)
    if not path.is_file() and not Path(weights).is_file():
        path = BUNDLE_ROOT / path  # MONAI loads bundles from any folder, with bundle_root "."
    if not path.is_file():
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no such weights file; train first, or pass --weights FILE")
        raise FileNotFoundError(f"{weights}: no recipe {path.name} beside these weights; {HOW_TO_GET}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: malformed recipe: {error}") from error
    if not isinstance(content, dict) or content.keys() != FIELDS:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected a recipe with {', '.join(sorted(FIELDS))}, got {found}")
    if network_spacing_mm is not None and spatial_size is not None:
        raise ValueError("expected network_spacing_mm or spatial_size, got both")
    recipe = Recipe(**content)
    grid = {"network_spacing_mm": network_spacing_mm, "spatial_size": spatial_size}
    changes: dict[str, Any] = {} if alignment is None else {"alignment": alignment}
    if any(value is not None for value in grid.values()):
        changes |= grid
    for name, value in changes.items():
        if value is not None and value != getattr(recipe, name):
            log.warning("%s: trained with %s %s, run with %s", weights, name, getattr(recipe, name), value)
    return dataclasses.replace(recipe, **changes)


def write_recipe(weights: str | Path, recipe: Recipe) -> None:
    """Write the recipe of a weights file, atomically."""
    with atomic_path(recipe_path(weights)) as path:
        path.write_text(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n", encoding="utf-8")


def check_weights(weights: str | Path, state: Mapping[str, Tensor]) -> None:
    """Check that a state dict read from `weights` is the one of its recipe.

    Raises: FileNotFoundError, ValueError: see `read_recipe`; ValueError if the recipe belongs to other weights.
    """
    expected, found = read_recipe(weights).weights_sha256, weights_sha256(state)
    if found != expected:
        path = recipe_path(weights)
        raise ValueError(
            f"{path}: this recipe belongs to other weights (SHA-256 {expected[:12]}..., {Path(weights).name} has "
            f"{found[:12]}...); {HOW_TO_GET}"
        )


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, shapes and float16 values of a state dict.

    Half precision makes a training's checkpoint, its release in float16 and its TorchScript export share one hash.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu()
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update((values.half() if values.is_floating_point() else values).contiguous().numpy().tobytes())
    return digest.hexdigest()
