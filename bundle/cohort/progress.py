"""How far a cohort is, and how long the rest takes."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from tqdm import tqdm

LINE_EVERY_S = 30.0  # where no terminal shows a bar


class Progress:
    """A progress bar with failures and the time that is left, by a clock that is never set: tqdm's own may be.

    Args:
        total: pairs of the run.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self._start_s = self._shown_s = time.monotonic()
        form = "{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}"
        self._bar = tqdm(desc="pairs", total=total, bar_format=form, dynamic_ncols=True)
        self._every_s = 0.0 if sys.stderr.isatty() else LINE_EVERY_S

    @property
    def seconds_left(self) -> float | None:
        """From the pairs of this run that have ended; None before the first."""
        elapsed_s = time.monotonic() - self._start_s
        return None if self.done == 0 else elapsed_s / self.done * (self.total - self.done)

    def update(self, *, failed: bool) -> None:
        """A pair has ended."""
        self.done += 1
        self.failed += failed
        self._bar.n = self.done
        self._bar.set_postfix_str(self.text, refresh=False)
        now_s = time.monotonic()
        if now_s - self._shown_s >= self._every_s or self.done == self.total:
            self._shown_s = now_s
            self._bar.refresh()

    @property
    def text(self) -> str:
        """Failures and the time that is left."""
        left_s = self.seconds_left
        eta = "?" if left_s is None else str(timedelta(seconds=round(left_s)))
        return f"{self.failed} failed, ETA {eta}"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
