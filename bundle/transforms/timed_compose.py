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

    def __call__(self, input_: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        now = time.perf_counter()
        data = dict(input_)
        seconds = {step: float(value) for step, value in data.pop("seconds_by_step", {}).items()}
        if "finished_s" in data:
            seconds["Network"] = now - float(data["finished_s"])
        for transform in self.transforms:
            data["seconds_by_step"] = seconds
            data = Compose([transform])(data, *args, **kwargs)
            before, now = now, time.perf_counter()
            seconds = {**seconds, type(transform).__name__: now - before}
        return {**data, "seconds_by_step": seconds, "finished_s": now}
