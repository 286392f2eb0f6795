"""What a training run is made of, so that a resumed run cannot silently become another one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from bundle.handlers.faults.description import description_of
from bundle.handlers.recipe_saver import RecipeSaver

log = logging.getLogger(__name__)

RUN = "run"  # of the record in a checkpoint
NEW_RUN = "resume with what the checkpoint was made with, or start a new run (--resume false, or another --output_dir)"
NUM_SHOWN = 5


class RunRecord:
    """Settings, pairs, config files and loss of a run: a part of its checkpoints that is compared, not loaded.

    Args:
        recipe_saver: knows the settings, the seed and the config files.
        validator: whose pairs are the validation; None if there is none.
        optimizer_key: of the optimiser in the checkpoint.
    """

    def __init__(
        self, recipe_saver: RecipeSaver, validator: Engine | None = None, *, optimizer_key: str = "optimizer"
    ) -> None:
        self.recipe_saver = recipe_saver
        self.validator = validator
        self.optimizer_key = optimizer_key
        self.pairs: list[str] = []
        self.validation: list[str] = []
        self.parts: dict[str, Any] = {}

    def follow(self, engine: Engine) -> None:
        """Note the pairs of a trainer that starts, and what it computes."""
        loader = engine.state.dataloader
        self.pairs = _names(loader)
        self.validation = _names(getattr(self.validator, "data_loader", None))
        parts = {name: getattr(engine, name, None) for name in ("loss_function", "inferer")}
        parts["transform"] = getattr(loader.dataset, "transform", None)
        parts["optimizer"] = type(getattr(engine, "optimizer", None)).__qualname__
        self.parts = description_of(parts)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "settings": {**self.recipe_saver.settings, "seed": self.recipe_saver.seed},
            "pairs": self.pairs,
            "validation": self.validation,
            "config_files": self.recipe_saver.config_files,
            "parts": self.parts,
        }

    def check(self, path: Path, checkpoint: Mapping[str, Any], optimizer: Any) -> None:
        """Compare a checkpoint with this run, before it is loaded.

        Warned about are changed config files, losses and transforms, another order of the training pairs, and settings
        of the optimiser, which the checkpoint's replace.

        Args:
            path: of the checkpoint.
            checkpoint: its content. Those of earlier versions hold no record and are not compared.
            optimizer: of this run, or None.
        Raises: ValueError naming the settings that differ, or the pairs that came or went.
        """
        if optimizer is not None:
            self._warn_of_optimizer(path, checkpoint[self.optimizer_key], optimizer.state_dict())
        if RUN not in checkpoint:
            return
        then, now = checkpoint[RUN], self.state_dict()
        for name in _changed(then["settings"], now["settings"]):
            before, after = then["settings"].get(name), now["settings"].get(name)
            raise ValueError(f"{path}: made with {name} {before!r}, this run has {after!r}; {NEW_RUN}")
        for section, key in (("training", "pairs"), ("validation", "validation")):
            self._check_pairs(path, section, then.get(key), now[key])
        if then["pairs"] != now["pairs"]:
            log.warning("%s: the training pairs are in another order now: other batches than in that run follow", path)
        changed = _changed(then["config_files"], now["config_files"])
        if changed:
            log.warning("%s: these config files have changed since: %s", path, ", ".join(changed))
        before = then.get("parts", now["parts"])
        for name in _changed(before, now["parts"]):
            log.warning("%s: made with %s %r, this run has %r", path, name, before.get(name), now["parts"].get(name))

    @staticmethod
    def _check_pairs(path: Path, section: str, then: Sequence[str] | None, now: Sequence[str]) -> None:
        if then is None:  # of an earlier version
            return
        gone, new = set(then) - set(now), set(now) - set(then)
        if gone or new:
            found = " and ".join(
                f"{word} {_listed(names)}" for word, names in (("without", gone), ("with", new)) if names
            )
            raise ValueError(f"{path}: made with other {section} pairs, this run is {found}; {NEW_RUN}")

    def _warn_of_optimizer(self, path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for before, after in zip(then["param_groups"], now["param_groups"], strict=False):
            for name in before.keys() & after.keys() - {"params"}:
                if name == "lr" and "initial_lr" in before and "initial_lr" in after:
                    continue  # the schedule changes it
                if before[name] != after[name]:
                    text = "%s: optimizer %s: %s of the checkpoint is used, not %s of this run"
                    log.warning(text, path, name, before[name], after[name])


def _names(loader: Any) -> list[str]:
    """Of the pairs of a data loader, in their order."""
    dataset = getattr(loader, "dataset", ())
    return [str(item["name"]) for item in getattr(dataset, "data", dataset)]


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names whose values differ."""
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - NUM_SHOWN} more" if len(shown) > NUM_SHOWN else ""
    return ", ".join(shown[:NUM_SHOWN]) + more
