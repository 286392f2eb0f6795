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
from inspect import signature
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bundle.formats import read_json
from bundle.io.atomic import atomic_path
from bundle.voxel_size import check_voxel_mm

log = logging.getLogger(__name__)

BUNDLE_ROOT = Path(__file__).resolve().parents[2]

NETWORKS = ("bundle.networks", "monai.networks.nets")  # a recipe is data: it cannot name other code to run
ALIGNMENTS = ("identity", "centroid", "translation", "affine")  # of `bundle.transforms.align_lungs`
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
        network_class, arguments = _network_class("recipe", self.network)
        return network_class(**arguments)

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
    Raises: FileNotFoundError if there is no recipe; ValueError if it is malformed, for a `network_spacing_mm` beyond
        `bundle.voxel_size.LIMITS_MM`, or if both it and `spatial_size` are given.
    """
    path = recipe_path(weights)
    if not path.is_file() and not Path(weights).is_file():
        path = BUNDLE_ROOT / path  # MONAI loads bundles from any folder, with bundle_root "."
    if not path.is_file():
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no such weights file; train first, or pass --weights FILE")
        raise FileNotFoundError(f"{weights}: no recipe {path.name} beside these weights; {HOW_TO_GET}")
    content = read_json(path, "recipe")
    if not isinstance(content, dict) or content.keys() != FIELDS:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected a recipe with {', '.join(sorted(FIELDS))}, got {found}")
    _check_content(path, content)
    check_voxel_mm("network_spacing_mm", network_spacing_mm)
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


def _check_content(path: Path, content: Mapping[str, Any]) -> None:
    """Raises: ValueError naming the recipe, the field, what it holds and what is expected."""
    window, training = content["window_hu"], content["training"]
    sides = content["spatial_size"]
    expected = {
        "network_spacing_mm": ("a length above 0 or null", _is_length(content["network_spacing_mm"], optional=True)),
        "spatial_size": (
            "three whole numbers above 0 or null",
            sides is None
            or (isinstance(sides, list) and len(sides) == 3 and all(type(side) is int and side > 0 for side in sides)),
        ),
        "margin_mm": ("a length of 0 or more", content["margin_mm"] == 0 or _is_length(content["margin_mm"])),
        "alignment": ("the name of a method", content["alignment"] in ALIGNMENTS),
        "window_hu": (
            "low and high, two numbers",
            isinstance(window, dict) and window.keys() == {"low", "high"} and _is_window(**window),
        ),
        "training": (
            "the list pairs of objects with fixed_sha256 and moving_sha256",
            isinstance(training, dict)
            and isinstance(training.get("pairs"), list)
            and all(map(_is_pair, training["pairs"])),
        ),
        "licence": ("a text", isinstance(content["licence"], str)),
        "weights_sha256": ("a text", isinstance(content["weights_sha256"], str)),
    }
    for field, (what, is_right) in expected.items():
        if not is_right:
            raise ValueError(f"{path}: {field}: expected {what}, got {content[field]!r}")
    _network_class(str(path), content["network"])


def _network_class(name: str, network: Any) -> tuple[type[nn.Module], dict[str, Any]]:
    """Class and arguments of a network. Raises: ValueError unless it is one of `NETWORKS` and takes the arguments."""
    arguments = dict(network) if isinstance(network, Mapping) else {}
    target = str(arguments.pop("_target_", None))
    package, _, kind = target.rpartition(".")
    found = getattr(import_module(package), kind, None) if package in NETWORKS else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"{name}: expected a network of {' or '.join(NETWORKS)}, got {target}")
    try:
        signature(found).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: expected arguments of {target}: {error}") from error
    return found, arguments


def _is_length(value: Any, *, optional: bool = False) -> bool:
    return (optional and value is None) or (type(value) in (int, float) and 0 < value < float("inf"))


def _is_window(low: Any, high: Any) -> bool:
    return type(low) in (int, float) and type(high) in (int, float) and low < high


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, dict) and {"fixed_sha256", "moving_sha256"} <= pair.keys()


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
