"""A Compose that measures the time of its steps and returns their memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from monai.transforms import Compose

from bundle.memory import return_freed_memory, reuse_freed_memory


class TimedInferer(Protocol):
    """An inferer that reports the wall time of the steps of its latest call."""

    seconds_by_step: dict[str, float]


class TimedCompose(Compose):
    """MONAI's `Compose` for dictionaries; adds the seconds of each step to `seconds_by_step`, by transform class.

    Memory that a step has freed is reused while it runs, and returned to the system before the next one, see
    `bundle.memory`; the setting is one of the process.

    Args:
        transforms: as of `Compose`.
        inferer: runs before these transforms; its steps are added.
        checks: transforms that follow those of some class, by its name: what one workflow asks for, where training and
            inference share their list of transforms.
    """

    def __init__(
        self,
        transforms: Sequence[Callable] | Callable | None = None,
        *,
        inferer: TimedInferer | None = None,
        checks: Mapping[str, Callable] = MappingProxyType({}),
    ):
        steps = transforms if isinstance(transforms, Sequence) else [transforms] if transforms is not None else []
        followed = [(step, checks.get(type(step).__name__)) for step in steps]
        super().__init__([step for steps in followed for step in steps if step is not None])
        self.inferer = inferer
        reuse_freed_memory()

    def __call__(
        self,
        input_: dict[str, Any],
        start: int = 0,
        end: int | None = None,
        threading: bool = False,
        lazy: bool | None = None,
    ) -> dict[str, Any]:
        """Run the transforms from `start` to before `end`; the arguments are MONAI's."""
        now = time.perf_counter()
        data = dict(input_)
        seconds = {step: float(value) for step, value in data.pop("seconds_by_step", {}).items()}
        if self.inferer is not None:
            seconds |= self.inferer.seconds_by_step
        for index, transform in enumerate(self.transforms[start:end], start):
            data["seconds_by_step"] = seconds
            data = super().__call__(data, index, index + 1, threading, lazy)
            return_freed_memory()
            before, now = now, time.perf_counter()
            step = type(transform).__name__
            seconds = {**seconds, step: seconds.get(step, 0.0) + now - before}
        return {**data, "seconds_by_step": seconds}
