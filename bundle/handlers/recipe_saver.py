"""Write the recipe of the weights that a training run saves."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.io import Recipe, check_weights, weights_sha256, write_recipe

HASHES = ("fixed_sha256", "moving_sha256")
LICENCE = "Apache-2.0"


class RecipeSaver:
    """Write a recipe beside every weights file and checkpoint of a run, after the epoch that saved it.

    Place it after the handlers that save. Batches must hold `name`, `fixed_sha256` and `moving_sha256`: the recipe
    lists the pairs that the network has been trained on so far. A checkpoint must hold this handler's state, so that
    resumed runs list all pairs.

    Args:
        directories: searched for `*.pt`.
        network: the network's class with its arguments.
        network_spacing_mm, spatial_size, margin_mm, alignment, window_hu, seed: see `Recipe`.
        config_files: of the run, relative to `bundle_root`.
        bundle_root: of the bundle.
    """

    def __init__(
        self,
        *,
        directories: Sequence[str | Path],
        network: partial[nn.Module],
        network_spacing_mm: float | None,
        spatial_size: Sequence[int] | None,
        margin_mm: float,
        alignment: str,
        window_hu: Mapping[str, float],
        seed: int,
        config_files: Sequence[str],
        bundle_root: str | Path,
    ) -> None:
        self.directories = [Path(directory) for directory in directories]
        self.settings: dict[str, Any] = {
            "network": describe_network(network),
            "network_spacing_mm": None if spatial_size is not None else network_spacing_mm,
            "spatial_size": None if spatial_size is None else list(spatial_size),
            "margin_mm": margin_mm,
            "alignment": alignment,
            "window_hu": dict(window_hu),
            "licence": LICENCE,
        }
        self.seed = seed
        self.config_files = {
            file: hashlib.sha256((Path(bundle_root) / file).read_bytes()).hexdigest() for file in config_files
        }
        self.pairs: dict[str, dict[str, str]] = {}
        self.earlier: dict[str, dict[str, str]] = {}
        self.saved_ns: dict[Path, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """The pairs seen so far."""
        return {"pairs": self.pairs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the pairs of an earlier run, which are still the same scans then."""
        self.pairs, self.earlier = dict(state["pairs"]), dict(state["pairs"])

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, self._find_earlier_files)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _find_earlier_files(self, engine: Engine) -> None:
        """Leave the recipes of earlier runs; a resumed run writes those that the killed one had no time for."""
        is_resumed = bool(self.pairs)
        self.saved_ns = {
            path: path.stat().st_mtime_ns for path in self._files() if not is_resumed or not _lacks_its_recipe(path)
        }
        if is_resumed:
            self._save(engine)

    def _collect(self, engine: Engine) -> None:
        for case in engine.state.batch:  # MONAI's trainers leave it decollated
            hashes = {key: case[key] for key in HASHES}
            for key, value in self.earlier.get(case["name"], hashes).items():
                if hashes.get(key) != value:
                    raise ValueError(
                        f"pair {case['name']!r}: the {key.removesuffix('_sha256')} scan is not the one that the "
                        "resumed run was trained on; give it another name, or start a new run (--resume false)"
                    )
            self.pairs[case["name"]] = hashes

    def _save(self, engine: Engine) -> None:
        if idist.get_world_size() > 1:
            gathered: Any = idist.all_gather(self.pairs)
            self.pairs = {name: pair for pairs in gathered for name, pair in pairs.items()}
        if idist.get_rank() != 0:
            return
        for path in self._files():
            modified_ns = path.stat().st_mtime_ns
            if self.saved_ns.get(path) == modified_ns:
                continue
            state = torch.load(path, map_location="cpu", weights_only=True)
            training = {
                "pairs": [{"name": name, **self.pairs[name]} for name in sorted(self.pairs)],
                "config_files": self.config_files,
                "seed": self.seed,
                "iterations": engine.state.iteration,
            }
            sha256 = weights_sha256(state.get("network", state))
            write_recipe(path, Recipe(**self.settings, training=training, weights_sha256=sha256))
            self.saved_ns[path] = modified_ns

    def _files(self) -> list[Path]:
        return sorted(path for directory in self.directories for path in directory.glob("*.pt"))


def _lacks_its_recipe(path: Path) -> bool:
    """Whether readable weights have no recipe, or that of other weights."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_weights(path, state.get("network", state))
    except (FileNotFoundError, ValueError):
        return True
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):  # truncated: nothing to describe
        return False
    return False


def describe_network(network: partial[nn.Module]) -> dict[str, Any]:
    """A network's class and arguments as a MONAI config, under the name its package exports."""
    target = f"{network.func.__module__}.{network.func.__qualname__}"
    package, name = network.func.__module__.rpartition(".")[0], network.func.__qualname__
    if getattr(import_module(package), name, None) is network.func:
        target = f"{package}.{name}"
    return {"_target_": target, **network.keywords}
