"""Make every epoch reproducible, independent of earlier epochs."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose


class EpochSeed:
    """Seed torch and the random transforms of the training set with seed + epoch at the start of each epoch.

    Pair order and augmentation then depend only on the epoch, so resumed runs use the same batches as uninterrupted
    ones.

    Args:
        seed: seed of the run.
        transform: transforms of the training set.
    """

    def __init__(self, *, seed: int, transform: Compose) -> None:
        self.seed = seed
        self.transform = transform

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the starting epoch."""
        epoch_seed = self.seed + engine.state.epoch
        torch.manual_seed(epoch_seed)
        self.transform.set_random_state(seed=epoch_seed)
