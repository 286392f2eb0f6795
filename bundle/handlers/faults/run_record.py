"""What a training run is made of, so that a resumed run cannot silently become another one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from bundle.handlers.recipe_saver import RecipeSaver

log = logging.getLogger(__name__)

RUN = "run"  # of the record in a checkpoint
NEW_RUN = "resume with what the checkpoint was made with, or start a new run (--resume false, or another --output_dir)"
NUM_SHOWN = 5


class RunRecord:
    """Settings, training pairs and config files of a run: a part of its checkpoints that is compared, not loaded.

    Args:
        recipe_saver: knows the settings, the seed and the config files.
        optimizer_key: of the optimiser in the checkpoint.
    """

    def __init__(self, recipe_saver: RecipeSaver, *, optimizer_key: str = "optimizer") -> None:
        self.recipe_saver = recipe_saver
        self.optimizer_key = optimizer_key
        self.pairs: list[str] = []

    def follow(self, engine: Engine) -> None:
        """Note the training pairs of a trainer that starts."""
        self.pairs = sorted(str(item["name"]) for item in getattr(engine.state.dataloader.dataset, "data", ()))

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "settings": {**self.recipe_saver.settings, "seed": self.recipe_saver.seed},
            "pairs": self.pairs,
            "config_files": self.recipe_saver.config_files,
        }

    def check(self, path: Path, checkpoint: Mapping[str, Any], optimizer: Any) -> None:
        """Compare a checkpoint with this run, before it is loaded.

        Changed config files, and settings of the optimiser, which the checkpoint's replace, are warned about.

        Args:
            path: of the checkpoint.
            checkpoint: its content. Those of earlier versions hold no record and are not compared.
            optimizer: of this run, or None.
        Raises: ValueError naming the settings that differ, or the training pairs that came or went.
        """
        if optimizer is not None:
            self._warn_of_optimizer(path, checkpoint[self.optimizer_key], optimizer.state_dict())
        if RUN not in checkpoint:
            return
        then, now = checkpoint[RUN], self.state_dict()
        for name in sorted(then["settings"].keys() | now["settings"].keys()):
            before, after = then["settings"].get(name), now["settings"].get(name)
            if before != after:
                raise ValueError(f"{path}: made with {name} {before!r}, this run has {after!r}; {NEW_RUN}")
        gone, new = set(then["pairs"]) - set(now["pairs"]), set(now["pairs"]) - set(then["pairs"])
        if gone or new:
            found = " and ".join(
                f"{word} {_listed(names)}" for word, names in (("without", gone), ("with", new)) if names
            )
            raise ValueError(f"{path}: made with other training pairs, this run is {found}; {NEW_RUN}")
        changed = [
            name
            for name in sorted(then["config_files"].keys() | now["config_files"].keys())
            if then["config_files"].get(name) != now["config_files"].get(name)
        ]
        if changed:
            log.warning("%s: these config files have changed since: %s", path, ", ".join(changed))

    def _warn_of_optimizer(self, path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for before, after in zip(then["param_groups"], now["param_groups"], strict=False):
            for name in before.keys() & after.keys() - {"params"}:
                if name == "lr" and "initial_lr" in before and "initial_lr" in after:
                    continue  # the schedule changes it
                if before[name] != after[name]:
                    text = "%s: optimizer %s: %s of the checkpoint is used, not %s of this run"
                    log.warning(text, path, name, before[name], after[name])


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - NUM_SHOWN} more" if len(shown) > NUM_SHOWN else ""
    return ", ".join(shown[:NUM_SHOWN]) + more
