"""Save a training run, and resume an interrupted one."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver, EarlyStopHandler

from bundle.handlers.faults import RUN, FiniteLoss, RunRecord, remove_remains, save_atomically
from bundle.handlers.recipe_saver import RecipeSaver
from bundle.io import recipe_path

log = logging.getLogger(__name__)

PATTERN = "checkpoint_epoch=*.pt"  # as MONAI's CheckpointSaver names them
RECIPES = "checkpoint_epoch=*.json"
NUM_KEPT = 2  # if the latest was cut off while it was written, the previous one remains


class ValidationState:
    """State of the validation that a checkpoint must hold: the best score and the remaining patience.

    Without it, a resumed run would count its first validation as the best one and stop too late.
    """

    def __init__(self, *, evaluator: Engine, best_saver: CheckpointSaver, early_stop: EarlyStopHandler) -> None:
        self.evaluator = evaluator
        self.best_saver = best_saver
        self.early_stop = early_stop
        save_atomically(best_saver._key_metric_checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """Plain values. MONAI's handlers keep ignite's, which know their state, in private attributes."""
        return {
            "best_metric": float(self.evaluator.state.best_metric),
            "best_metric_epoch": self.evaluator.state.best_metric_epoch,
            "best_saver": self.best_saver._key_metric_checkpoint.state_dict(),
            "early_stop": self.early_stop._handler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of an earlier run."""
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        self.best_saver.load_state_dict(state["best_saver"])
        self.early_stop._handler.load_state_dict(state["early_stop"])


class _GradScalerState:
    """The loss scale of mixed precision. MONAI's trainer creates a new scaler for each run; None without AMP."""

    def __init__(self, trainer: Engine) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        scaler = getattr(self.trainer, "scaler", None)
        return {} if scaler is None else scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        scaler = getattr(self.trainer, "scaler", None)
        if scaler is not None and state:  # the precision may have changed
            scaler.load_state_dict(dict(state))


class TrainingCheckpoint:
    """MONAI's CheckpointSaver and CheckpointLoader for the complete state of a run.

    The trainer's epoch and its loss scale (mixed precision) are part of it. Resuming loads the newest readable
    checkpoint before training starts; without one, training starts from the beginning, so the same command serves jobs
    that may be killed at any time. Files are written whole, a loss that is not finite ends the run (`FiniteLoss`), and
    a run with other settings or pairs does not resume (`RunRecord`). Place it after the ValidationHandler, whose
    results belong to the saved epoch.

    Args:
        directory: where checkpoints go; the latest two are kept.
        state: what to save besides the trainer, by name: network, optimizer, ...
        recipe_saver: writes the recipes of the files saved; part of the state.
        interval: epochs between checkpoints.
        resume: False starts a new run and removes the checkpoints of an earlier one.
        map_location: device to load to.
    """

    def __init__(
        self,
        *,
        directory: str | Path,
        state: Mapping[str, Any],
        recipe_saver: RecipeSaver,
        interval: int,
        resume: bool,
        map_location: str | torch.device,
    ) -> None:
        self.directory = Path(directory)
        self.state = {**state, "recipe": recipe_saver}
        self.recipe_saver = recipe_saver
        self.record = RunRecord(recipe_saver, getattr(state.get("validation"), "evaluator", None))
        self.interval = interval
        self.resume = resume
        self.map_location = map_location

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        self.state |= {"trainer": engine, "grad_scaler": _GradScalerState(engine)}
        engine.add_event_handler(Events.STARTED, self.start)
        FiniteLoss(directory=self.directory, state=dict(self.state)).attach(engine)
        self.state[RUN] = self.record
        saver = CheckpointSaver(
            str(self.directory), self.state, save_interval=self.interval, n_saved=NUM_KEPT, epoch_level=True
        )
        save_atomically(saver._interval_checkpoint)
        saver.attach(engine)
        self.recipe_saver.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.prune)

    def start(self, engine: Engine) -> None:
        """Load the newest checkpoint, or clear the folder for a new run. Raises: ValueError: see `RunRecord.check`."""
        self.record.follow(engine)
        if idist.get_rank() == 0:
            for directory in self.recipe_saver.directories:
                remove_remains(directory, "*.pt")
        paths = sorted(self.directory.glob(PATTERN), key=_epoch, reverse=True)
        if not self.resume:
            for path in paths:
                path.unlink(missing_ok=True)  # in distributed runs every rank does this
                recipe_path(path).unlink(missing_ok=True)
            return
        for path in paths:
            try:
                content = _read(path)
            except (RuntimeError, EOFError, OSError, BadZipFile, pickle.UnpicklingError) as error:
                log.warning("%s: unreadable, trying an earlier checkpoint (%s)", path, error)
                continue
            state = {name: part for name, part in self.state.items() if name != RUN}
            missing = [name for name in state if not isinstance(content, Mapping) or name not in content]
            if missing:
                raise ValueError(f"{path}: expected a checkpoint of this training, found none of {', '.join(missing)}")
            self.record.check(path, content, self.state.get("optimizer"))
            CheckpointLoader(str(path), state, map_location=self.map_location)(engine)
            log.info("%s: resuming after epoch %d", path, engine.state.epoch)
            return
        log.warning("%s: no checkpoint to resume from, training starts from the beginning", self.directory)

    def prune(self) -> None:
        """Remove what the saver of an interrupted run had kept; this run's saver knows its own checkpoints only."""
        if idist.get_rank() == 0:
            by_age = sorted(self.directory.glob(PATTERN), key=lambda path: path.stat().st_mtime_ns)
            for path in by_age[:-NUM_KEPT]:
                path.unlink()
            for path in set(self.directory.glob(RECIPES)) - {recipe_path(path) for path in by_age[-NUM_KEPT:]}:
                path.unlink()  # of checkpoints that the saver has removed


def _read(path: Path) -> Any:
    """The content of a checkpoint. Raises: BadZipFile if bytes are missing or changed, which PyTorch does not see."""
    with ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise BadZipFile(f"the checksum of {damaged} is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)


def _epoch(path: Path) -> int:
    return int(path.stem.rpartition("=")[2])
