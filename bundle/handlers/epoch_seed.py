"""Make every epoch repeatable, whatever ran before it."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose


class EpochSeed:
    """Seed torch and the random transforms of the training set with seed + epoch when an epoch starts.

    The order of the pairs and their augmentation then depend on the epoch's number only, so a run that was killed and
    resumed goes through the same batches as one that was not.

    Args:
        seed: the run's seed.
        transform: the training set's transforms.
    """

    def __init__(self, *, seed: int, transform: Compose) -> None:
        self.seed = seed
        self.transform = transform

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        epoch_seed = self.seed + engine.state.epoch
        torch.manual_seed(epoch_seed)
        self.transform.set_random_state(seed=epoch_seed)
