"""A worker of a cohort: a process that Ray starts, and that handles one item after the other."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from bundle.refusals import reason_of

Item = Mapping[str, Any]  # with a `name`
Handle = Callable[[Item, Item | None], dict[str, Any]]  # an item and the one to read ahead
Kind = Literal["done", "refused", "out of memory", "disk full", "overdue", "fault"]
MEMORY_WORDS = (
    *("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "failed to allocate"),
    *("unable to allocate", "can't start new thread"),
)
GIB = 1 << 30


@dataclass(frozen=True)
class Answer:
    """What became of an item.

    Args:
        kind: "refused" for a bad input, "fault" for an error of the program.
        row: of a "done" item.
        reason: of the others, one line.
        seconds: wall time, by a clock that is never set.
        trace: of a fault.
    """

    kind: Kind
    row: Mapping[str, Any]
    reason: str
    seconds: float
    trace: str = ""


class Worker:
    """Makes what handles items once, and calls it for each.

    Args:
        make: of the callable that handles items.
        memory_gib: most memory that this process may allocate; None for no limit.
    """

    def __init__(self, make: Callable[[], Handle], memory_gib: float | None) -> None:
        if memory_gib is not None and resource is not None:  # data: what is allocated, not files or libraries
            resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gib * GIB),) * 2)
        logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it repeats every error
        try:
            self.handle, self.refusal = make(), ""
        except Exception as error:
            reason = _memory_reason(error, memory_gib) or reason_of(error)
            if reason is None:
                raise
            self.handle, self.refusal = _nothing, reason
        self.memory_gib = memory_gib

    def ready(self) -> tuple[str, int, str]:
        """Host and process of this worker, and why it cannot work: empty if it can."""
        return socket.gethostname(), os.getpid(), self.refusal

    def work(self, item: Item, following: Item | None) -> Answer:
        """Handle an item; what it raises becomes the reason."""
        start = time.monotonic()
        try:
            row = self.handle(item, following)
        except Exception as error:
            return self._failure(error, time.monotonic() - start)
        return Answer("done", row, "", time.monotonic() - start)

    def _failure(self, error: Exception, seconds: float) -> Answer:
        memory, refusal = _memory_reason(error, self.memory_gib), reason_of(error)
        if memory is not None:
            return Answer("out of memory", {}, memory, seconds)
        if refusal is not None:
            kind: Kind = "disk full" if _is_disk_full(error) else "refused"
            return Answer(kind, {}, " ".join(refusal.split()), seconds)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Answer("fault", {}, reason, seconds, traceback.format_exc())


def _nothing(item: Item, following: Item | None) -> dict[str, Any]:
    raise RuntimeError("this worker could not start")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _memory_reason(error: Exception, memory_gib: float | None) -> str | None:
    """What to say about an allocation that failed; None for other errors."""
    for cause in _causes(error):
        is_one = isinstance(cause, MemoryError) or (
            isinstance(cause, (RuntimeError, OSError)) and any(word in str(cause).lower() for word in MEMORY_WORDS)
        )
        if is_one:
            limit = "" if memory_gib is None else f" (limit of a worker: {memory_gib:g} GiB)"
            return f"out of memory{limit}: pass --spacing_mm 2.0, or allow more"
    return None


def _is_disk_full(error: Exception) -> bool:
    return any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in _causes(error))
