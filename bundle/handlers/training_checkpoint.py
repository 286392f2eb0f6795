"""Save a training run as it goes, and go on with one that was interrupted."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver, EarlyStopHandler

log = logging.getLogger(__name__)

PATTERN = "checkpoint_epoch=*.pt"  # the names MONAI's CheckpointSaver gives
NUM_KEPT = 2  # a checkpoint cut off while it was written leaves the one before it


class ValidationState:
    """What validation remembers between epochs, in a form a checkpoint can hold: the best score and the patience left.

    Without it a resumed run would take its first validation for the best one and wait too long before it stops.
    """

    def __init__(self, *, evaluator: Engine, best_saver: CheckpointSaver, early_stop: EarlyStopHandler) -> None:
        self.evaluator = evaluator
        self.best_saver = best_saver
        self.early_stop = early_stop

    def state_dict(self) -> dict[str, Any]:
        """Everything as plain values. MONAI's handlers hold ignite's, which know their state, in private attributes."""
        return {
            "best_metric": float(self.evaluator.state.best_metric),
            "best_metric_epoch": self.evaluator.state.best_metric_epoch,
            "best_saver": self.best_saver._key_metric_checkpoint.state_dict(),
            "early_stop": self.early_stop._handler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of an earlier run."""
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        self.best_saver.load_state_dict(state["best_saver"])
        self.early_stop._handler.load_state_dict(state["early_stop"])


class _GradScalerState:
    """The loss scale of mixed precision. MONAI's trainer makes its scaler anew when it runs; without AMP it is None."""

    def __init__(self, trainer: Engine) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        scaler = getattr(self.trainer, "scaler", None)
        return {} if scaler is None else scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        scaler = getattr(self.trainer, "scaler", None)
        if scaler is not None and state:  # a run may go on with another precision
            scaler.load_state_dict(dict(state))


class TrainingCheckpoint:
    """MONAI's CheckpointSaver and CheckpointLoader for everything a run needs to go on.

    The trainer's epoch and its loss scale (mixed precision) are saved with the rest. To resume, the newest readable
    checkpoint is loaded before training starts; a folder without any starts from the beginning, so one command serves a
    job that may be killed at any time. Place it after the ValidationHandler, whose results belong to the epoch saved.

    Args:
        directory: where checkpoints go; the latest two are kept.
        state: what to save besides the trainer, by name: network, optimizer, ...
        interval: epochs between checkpoints.
        resume: False starts anew; checkpoints of an earlier run would be mistaken for this one's and are removed.
        map_location: device to load to.
    """

    def __init__(
        self,
        *,
        directory: str | Path,
        state: Mapping[str, Any],
        interval: int,
        resume: bool,
        map_location: str | torch.device,
    ) -> None:
        self.directory = Path(directory)
        self.state = dict(state)
        self.interval = interval
        self.resume = resume
        self.map_location = map_location

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        self.state |= {"trainer": engine, "grad_scaler": _GradScalerState(engine)}
        engine.add_event_handler(Events.STARTED, self.start)
        CheckpointSaver(
            str(self.directory), self.state, save_interval=self.interval, n_saved=NUM_KEPT, epoch_level=True
        ).attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.prune)

    def start(self, engine: Engine) -> None:
        """Load the newest checkpoint, or clear the folder for a new run."""
        paths = sorted(self.directory.glob(PATTERN), key=_epoch, reverse=True)
        if not self.resume:
            for path in paths:
                path.unlink(missing_ok=True)  # in distributed runs every rank passes here
            return
        for path in paths:
            try:
                torch.load(path, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
                log.warning("%s: unreadable, trying an earlier checkpoint (%s)", path, error)
                continue
            CheckpointLoader(str(path), self.state, map_location=self.map_location)(engine)
            log.info("%s: going on after epoch %d", path, engine.state.epoch)
            return
        log.warning("%s: no checkpoint to resume from, training starts from the beginning", self.directory)

    def prune(self) -> None:
        """Remove what the saver of an interrupted run had kept; this run's saver knows its own checkpoints only."""
        if idist.get_rank() == 0:
            by_age = sorted(self.directory.glob(PATTERN), key=lambda path: path.stat().st_mtime_ns)
            for path in by_age[:-NUM_KEPT]:
                path.unlink()


def _epoch(path: Path) -> int:
    return int(path.stem.rpartition("=")[2])
