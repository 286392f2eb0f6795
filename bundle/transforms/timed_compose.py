"""Compose that writes down how long each step took."""

from __future__ import annotations

import time
from typing import Any

from monai.transforms import Compose


class TimedCompose(Compose):
    """MONAI's `Compose` for dictionaries; adds the seconds of each step to `seconds_by_step`, by transform class.

    Time that passed since an earlier `TimedCompose` finished with the same dictionary counts as `Network`: between
    preprocessing and postprocessing stands nothing else.
    """

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
        if "finished_s" in data:
            seconds["Network"] = now - float(data["finished_s"])
        for index, transform in enumerate(self.transforms[start:end], start):
            data["seconds_by_step"] = seconds
            data = super().__call__(data, index, index + 1, threading, lazy)
            before, now = now, time.perf_counter()
            step = type(transform).__name__
            seconds = {**seconds, step: seconds.get(step, 0.0) + now - before}
        return {**data, "seconds_by_step": seconds, "finished_s": now}
