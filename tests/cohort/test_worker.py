from __future__ import annotations

import errno
import os
from typing import Any

import pytest
import torch

from bundle.cohort.worker import Worker


def worker(error: Exception | None = None) -> Worker:
    def handle(item: Any, following: Any) -> dict[str, Any]:
        if error is not None:
            raise error
        return {"name": item["name"], "ahead": following}

    return Worker(lambda: handle, None)


def test_a_worker_says_where_it_runs_and_what_came_of_an_item() -> None:
    assert worker().ready() == (os.uname().nodename, os.getpid(), "")
    answer = worker().work({"name": "a"}, {"name": "b"})
    assert (answer.kind, answer.row, answer.reason) == ("done", {"name": "a", "ahead": {"name": "b"}}, "")
    assert answer.seconds >= 0.0


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (FileNotFoundError("a.nii.gz: no such file\nin the list"), "refused", "a.nii.gz: no such file in the list"),
        (OSError(errno.ENOSPC, "No space left on device", "x.h5"), "disk full", "x.h5: No space left on device"),
        (caused(RuntimeError("step"), OSError(errno.ENOSPC, "full")), "disk full", "full"),
        (MemoryError(), "out of memory", "out of memory: pass --spacing_mm 2.0, or allow more"),
        (caused(RuntimeError("step"), MemoryError()), "out of memory", "out of memory: pass"),
        (RuntimeError("std::bad_alloc"), "out of memory", "out of memory: pass"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out of memory", "out of memory: pass"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory", "out of memory: pass"),
        (ValueError("of a library"), "fault", "ValueError: of a library"),
    ],
)
def test_an_error_becomes_the_kind_that_it_is(error: Exception, kind: str, words: str) -> None:
    answer = worker(error).work({"name": "a"}, None)
    assert answer.kind == kind
    assert answer.reason.startswith(words)
    assert "\n" not in answer.reason
    assert bool(answer.trace) == (kind == "fault")


def test_torch_says_that_memory_is_missing_in_words_that_are_known() -> None:
    def allocate(item: Any, following: Any) -> dict[str, Any]:
        return {"tensor": torch.empty(1 << 60, dtype=torch.uint8)}

    assert Worker(lambda: allocate, None).work({"name": "a"}, None).kind == "out of memory"


def test_a_worker_that_cannot_be_made_says_why() -> None:
    def make() -> Any:
        raise FileNotFoundError("model.pt: no such weights file")

    made = Worker(make, None)
    assert made.ready()[2] == "model.pt: no such weights file"
    with pytest.raises(ZeroDivisionError):  # a fault of the program is none of the user's
        Worker(lambda: 1 / 0, None)  # type: ignore[arg-type, return-value]
