"""Progress bar of a training run."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar


class EpochProgress(ProgressBar):
    """Ignite's progress bar over epochs, with the latest loss: one bar per run, not per epoch."""

    def __init__(self) -> None:
        super().__init__(desc="training", persist=True)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        super().attach(
            engine,
            output_transform=lambda output: {"loss": output[0]["loss"]},
            event_name=Events.EPOCH_COMPLETED,
            closing_event_name=Events.COMPLETED,
        )
