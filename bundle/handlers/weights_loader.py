"""Load a network's weights before an evaluation or a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader
from torch import Tensor, nn

from bundle.data import check_as_typed
from bundle.handlers.recipe_saver import RecipeSaver
from bundle.io import check_weights, read_recipe


class WeightsLoader(CheckpointLoader):
    """MONAI's CheckpointLoader for one network, which checks the file and its recipe before the first scan is read.

    Weights are loaded once; later runs of the evaluator keep them.

    Args:
        path: state dict, float32 or float16, or a checkpoint of a training run that holds one as `network`; its recipe
            lies beside it.
        network: to load into; every tensor must fit.
        map_location: device to load to.
    Raises: when the evaluation starts, FileNotFoundError; ValueError for a file that is no state dict, belongs to
        another network, or has no recipe of its own.
    """

    def __init__(self, *, path: str | Path, network: nn.Module, map_location: str | torch.device) -> None:
        check_as_typed({"weights": path})
        super().__init__(str(path), {"network": network}, map_location=map_location)
        self.is_loaded = False

    def __call__(self, engine: Engine) -> None:
        """Load."""
        if self.is_loaded:
            return
        if not Path(self.load_path).is_file():
            raise FileNotFoundError(f"{self.load_path}: no such weights file; train first, or pass --weights FILE")
        try:
            weights = torch.load(self.load_path, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling a damaged or foreign file may raise any
            raise ValueError(
                f"{self.load_path}: not a weights file: damaged, or with more than tensors; nothing in it was executed"
            ) from error
        if not isinstance(weights, Mapping):
            raise ValueError(f"{self.load_path}: expected a state dict of weights, got a {type(weights).__name__}")
        state = weights.get("network", weights)
        tensors = state.values() if isinstance(state, Mapping) else ()
        if not tensors or not all(isinstance(value, Tensor) for value in tensors):
            raise ValueError(f"{self.load_path}: expected a state dict of tensors, got {list(weights)[:5]}")
        check_weights(self.load_path, state)
        network = self.load_dict["network"]
        try:
            super().__call__(engine)
        except RuntimeError as error:
            raise ValueError(
                f"{self.load_path}: the weights do not fit {type(network).__name__}, which expects "
                f"{len(network.state_dict())} tensors of its own names and shapes: {error}"
            ) from error
        self.is_loaded = True


class StartWeights:
    """Start a training from weights in place of random ones; the pairs behind them become part of its recipe.

    A resumed training keeps the weights of its checkpoint: place it after TrainingCheckpoint.

    Args:
        path: see `WeightsLoader`; None starts from random weights.
        network, map_location: see `WeightsLoader`.
        recipe_saver: of the training.
    Raises: at once, FileNotFoundError or ValueError for weights without a recipe; see `WeightsLoader` for the rest.
    """

    def __init__(
        self,
        *,
        path: str | Path | None,
        network: nn.Module,
        recipe_saver: RecipeSaver,
        map_location: str | torch.device,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.recipe_saver = recipe_saver
        if path is not None:
            self.pairs = read_recipe(path).training["pairs"]
            self.loader = WeightsLoader(path=path, network=network, map_location=map_location)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load, unless the training has been resumed."""
        if self.path is None or engine.state.iteration > 0:
            return
        self.loader(engine)
        for pair in self.pairs:  # under names of their own: data sets share names
            hashes = {key: pair[key] for key in ("fixed_sha256", "moving_sha256")}
            self.recipe_saver.pairs[f"{self.path.stem}: {pair['name']}"] = hashes
