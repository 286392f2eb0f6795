"""Threads on a machine that does other work: as many as this process has processors, and asleep while they wait.

Neither PyTorch nor ITK sees the quota of a container, and PyTorch's OpenMP threads spin while they wait, so that two
processes on the same processors take several times as long as one. Imports no torch: OpenMP reads its settings as it
loads.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

END = object()  # of an iterator
WAIT_POLICY = "OMP_WAIT_POLICY"
THREADS = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")  # OpenBLAS follows the first one
ROOT = Path("/")


def usable_processors(root: Path = ROOT) -> int:
    """Processors this process may use: by its affinity and the CPU quotas of its control groups, at least 1.

    Args:
        root: folder of `proc` and `sys`.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def share_processors() -> None:
    """Let threads that wait sleep, and start no more of them than there are usable processors; a user's settings win.

    To be called before torch is imported. Once it is, as in `python -m monai.bundle run`, the number of its threads can
    still be limited, but not how they wait: the commands of the README set `OMP_WAIT_POLICY`.
    """
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")
    processors = usable_processors()
    if processors == os.cpu_count():
        return  # the libraries know better: PyTorch starts a thread a core, not a hyperthread
    is_given = THREADS[0] in os.environ
    for name in THREADS:
        os.environ.setdefault(name, str(processors))
    if "torch" in sys.modules and not is_given:
        torch = sys.modules["torch"]
        torch.set_num_threads(min(processors, torch.get_num_threads()))


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of a function for both scans of a pair, computed at the same time where threads may be.

    ITK, NumPy and PyTorch work without the lock of the interpreter. Raises: the first error, after all have ended.
    """
    given = os.environ.get(THREADS[0], "")
    threads = min(usable_processors(), max(1, int(given))) if given.isdecimal() else usable_processors()
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group above this process allows, versions 1 and 2."""
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys" / "fs" / "cgroup" / (controllers and "cpu")  # a link to cpu,cpuacct in version 1
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            yield from _quota(folder, is_second=not controllers)


def _quota(folder: Path, *, is_second: bool) -> Iterator[float]:
    names = ("cpu.max",) if is_second else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join((folder / name).read_text().strip() for name in names).split()
    except (OSError, ValueError):  # a container shows no group above its own
        return
    if quota not in ("max", "-1"):
        yield int(quota) / int(period)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; a thread computes the next one while the caller works on this one. Raises: as `items` does."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, END)
        while (item := coming.result()) is not END:
            coming = pool.submit(next, items, END)
            yield item  # type: ignore[misc]  # not END
