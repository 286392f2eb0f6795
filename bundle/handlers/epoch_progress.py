"""One progress bar for a whole training run."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar


class EpochProgress(ProgressBar):
    """Ignite's progress bar counted in epochs, with the latest loss; a bar for each short epoch would scroll away."""

    def __init__(self) -> None:
        super().__init__(desc="training", persist=True)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        super().attach(
            engine,
            output_transform=lambda output: {"loss": output[0]["loss"]},
            event_name=Events.EPOCH_COMPLETED,
            closing_event_name=Events.COMPLETED,
        )
