"""Items handed out to workers on Ray, whatever becomes of a worker, a machine or an item."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bundle.cohort.worker import Answer, Handle, Item, Worker
from bundle.processors import THREADS, WAIT_POLICY

log = logging.getLogger(__name__)

ROOT = Path(__file__).absolute().parents[2]  # not resolved: caches link every file elsewhere
MAX_DEATHS = 3  # of workers with the same item; the second and third time it is alone in its process
MAX_FAILED_STARTS = 3  # of workers, in a row
PATIENCE_S = 60.0  # before a line says that no worker has started


class Result(NamedTuple):
    """What became of an item, and where."""

    item: Item
    answer: Answer
    worker: int
    host: str


@dataclass
class _Task:
    """An item that is not done.

    Args:
        deaths: of workers with it.
        alone: nothing else may be read beside it.
        read_ahead: it was read beside another one.
    """

    item: Item
    deaths: int = 0
    alone: bool = False
    read_ahead: bool = False


@dataclass
class _Slot:
    """A worker's place: its process, and what it does.

    Args:
        reply: of the call that runs; None if it is idle.
        task: what it works on; None while it starts or is idle.
        following: what it reads ahead.
    """

    number: int
    actor: Any
    reply: Any
    task: _Task | None = None
    following: _Task | None = None
    host: str = ""
    deadline_s: float = math.inf
    since_s: float = 0.0


class WorkerPool:
    """Workers that handle items one after the other, each with the next one read ahead.

    An item whose worker dies is handed out again, alone; one over its time limit, or out of memory by itself, is given
    up. Neither touches the others. Memory does not grow with the items that are done. All times are of the monotonic
    clock. Ray must be initialised.

    Args:
        make: of the callable that handles items, once for each worker, in its process.
        workers: how many.
        threads: processors that each occupies, and threads of its libraries.
        gpus: share of a GPU for each.
        timeout_s: after which an item is given up, None for no limit.
        memory_gib: see `Worker`.
    """

    def __init__(
        self,
        make: Callable[[], Handle],
        *,
        workers: int,
        threads: int = 1,
        gpus: float = 0.0,
        timeout_s: float | None = None,
        memory_gib: float | None = None,
    ) -> None:
        import ray

        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {name: str(threads) for name in THREADS} | {WAIT_POLICY: "PASSIVE", "PYTHONPATH": path}
        environment["TQDM_DISABLE"] = "1"  # bars would fill the logs of Ray
        self._ray = ray
        self._actor = ray.remote(Worker).options(
            num_cpus=threads, num_gpus=gpus, enable_task_events=False, runtime_env={"env_vars": environment}
        )
        self._make, self._memory_gib, self._workers = make, memory_gib, workers
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._waiting: deque[_Task] = deque()
        self._desks: list[_Slot] = []
        self._failed_starts = 0
        self._warned_s = 0.0

    def run(self, items: Sequence[Item]) -> Iterator[Result]:
        """Handle all items; what became of each, in the order in which they end.

        Raises: ValueError if workers cannot start, with the reason.
        """
        self._waiting.extend(map(_Task, items))
        self._desks = [self._start_worker(number) for number in range(1, min(self._workers, len(items)) + 1)]
        self._warned_s = time.monotonic()
        try:
            while self._waiting or any(slot.task or slot.following for slot in self._desks):
                for slot in self._desks:
                    if slot.reply is None:
                        self._hand_out(slot)
                slots = {slot.reply: slot for slot in self._desks if slot.reply is not None}
                first_s = min(slot.deadline_s for slot in self._desks) - time.monotonic()
                done, _ = self._ray.wait([*slots], timeout=max(0.0, min(first_s, PATIENCE_S)))
                for reply in done:
                    yield from self._collect(slots[reply])
                for slot in self._desks:
                    if slot.deadline_s < time.monotonic():
                        yield self._give_up(slot)
                self._warn_if_none_works()
        finally:
            for slot in self._desks:
                self._ray.kill(slot.actor)

    def stop(self) -> None:
        """Hand out nothing more; what is being worked on ends."""
        self._waiting.clear()
        for slot in self._desks:
            slot.following = None

    def _start_worker(self, number: int) -> _Slot:
        actor = self._actor.remote(self._make, self._memory_gib)
        return _Slot(number, actor, actor.ready.remote())

    def _replace(self, slot: _Slot) -> None:
        """A new process at a slot; what the old one read ahead waits again."""
        self._ray.kill(slot.actor)
        if slot.following is not None:
            self._waiting.appendleft(slot.following)
        self._desks[self._desks.index(slot)] = self._start_worker(slot.number)

    def _hand_out(self, slot: _Slot) -> None:
        """Give an idle worker what it has read ahead, else what waits, else what another one has only read."""
        task, slot.following = slot.following, None
        if task is None and self._waiting:
            task = self._waiting.popleft()
        if task is None:
            other = next((other for other in self._desks if other.following is not None), None)
            if other is None:
                return
            task, other.following = other.following, None
        if task is None:
            return
        if self._waiting and not task.alone and not self._waiting[0].alone:
            slot.following = self._waiting.popleft()
            slot.following.read_ahead = True
        slot.task, slot.since_s = task, time.monotonic()
        slot.deadline_s = slot.since_s + self._timeout_s
        following = None if slot.following is None else slot.following.item
        slot.reply = slot.actor.work.remote(task.item, following)

    def _collect(self, slot: _Slot) -> Iterator[Result]:
        """Take the reply of a worker."""
        task = slot.task
        if task is None:
            self._note_start(slot)
            return
        try:
            answer: Answer = self._ray.get(slot.reply)
        except self._ray.exceptions.RayError as error:
            log.warning("%s: its worker died on %s", task.item["name"], slot.host)
            task.deaths, task.alone = task.deaths + 1, True
            if task.deaths < MAX_DEATHS:
                self._waiting.appendleft(task)
            else:
                yield self._result(slot, task, _died(error, time.monotonic() - slot.since_s))
            self._replace(slot)
            return
        if answer.kind != "out of memory":
            yield self._result(slot, task, answer)
            slot.task, slot.reply, slot.deadline_s = None, None, math.inf
            return
        if task.alone or not (task.read_ahead or slot.following):
            yield self._result(slot, task, answer)
        else:  # another one in this process may be what filled the memory
            task.alone = True
            self._waiting.appendleft(task)
        self._replace(slot)

    def _note_start(self, slot: _Slot) -> None:
        """A worker has started, or has not."""
        try:
            slot.host, _, refusal = self._ray.get(slot.reply)
        except self._ray.exceptions.RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                reason = "killed, crashed, or --memory_gib is too small"
                raise ValueError(f"{self._failed_starts} workers in a row died as they started: {reason}") from error
            self._replace(slot)
            return
        if refusal:
            raise ValueError(refusal)
        self._failed_starts, slot.reply = 0, None

    def _give_up(self, slot: _Slot) -> Result:
        """End a worker whose item takes too long."""
        if slot.task is None:
            raise RuntimeError("expected an item with a time limit")
        reason = f"took longer than the time limit of {self._timeout_s:g} s"
        answer = Answer("overdue", {}, reason, time.monotonic() - slot.since_s)
        result = self._result(slot, slot.task, answer)
        self._replace(slot)
        return result

    def _warn_if_none_works(self) -> None:
        now_s = time.monotonic()
        if any(slot.reply is None or slot.task is not None for slot in self._desks):
            self._warned_s = now_s
        elif now_s - self._warned_s > PATIENCE_S:
            self._warned_s = now_s
            log.warning("no worker has started for %.0f s: waiting for processors or GPUs of the cluster", PATIENCE_S)

    @staticmethod
    def _result(slot: _Slot, task: _Task, answer: Answer) -> Result:
        return Result(task.item, answer, slot.number, slot.host)


def _died(error: Exception, seconds: float) -> Answer:
    """The answer for an item whose workers have all died."""
    text = str(error).lower()
    why = "out of memory" if "memory pressure" in text or "low on memory" in text else "crashed, or out of memory"
    return Answer("fault", {}, f"{MAX_DEATHS} workers died with this pair: killed, {why}", seconds, str(error))
