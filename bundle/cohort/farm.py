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
class _Desk:
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


class Farm:
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
        self._desks: list[_Desk] = []
        self._failed_starts = 0
        self._warned_s = 0.0

    def run(self, items: Sequence[Item]) -> Iterator[Result]:
        """Handle all items; what became of each, in the order in which they end.

        Raises: ValueError if workers cannot start, with the reason.
        """
        self._waiting.extend(map(_Task, items))
        self._desks = [self._hire(number) for number in range(1, min(self._workers, len(items)) + 1)]
        self._warned_s = time.monotonic()
        try:
            while self._waiting or any(desk.task or desk.following for desk in self._desks):
                for desk in self._desks:
                    if desk.reply is None:
                        self._hand_out(desk)
                desks = {desk.reply: desk for desk in self._desks if desk.reply is not None}
                first_s = min(desk.deadline_s for desk in self._desks) - time.monotonic()
                done, _ = self._ray.wait([*desks], timeout=max(0.0, min(first_s, PATIENCE_S)))
                for reply in done:
                    yield from self._collect(desks[reply])
                for desk in self._desks:
                    if desk.deadline_s < time.monotonic():
                        yield self._give_up(desk)
                self._warn_if_none_works()
        finally:
            for desk in self._desks:
                self._ray.kill(desk.actor)

    def stop(self) -> None:
        """Hand out nothing more; what is being worked on ends."""
        self._waiting.clear()
        for desk in self._desks:
            desk.following = None

    def _hire(self, number: int) -> _Desk:
        actor = self._actor.remote(self._make, self._memory_gib)
        return _Desk(number, actor, actor.ready.remote())

    def _replace(self, desk: _Desk) -> None:
        """A new process at a desk; what the old one read ahead waits again."""
        self._ray.kill(desk.actor)
        if desk.following is not None:
            self._waiting.appendleft(desk.following)
        self._desks[self._desks.index(desk)] = self._hire(desk.number)

    def _hand_out(self, desk: _Desk) -> None:
        """Give an idle worker what it has read ahead, else what waits, else what another one has only read."""
        task, desk.following = desk.following, None
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
            desk.following = self._waiting.popleft()
            desk.following.read_ahead = True
        desk.task, desk.since_s = task, time.monotonic()
        desk.deadline_s = desk.since_s + self._timeout_s
        following = None if desk.following is None else desk.following.item
        desk.reply = desk.actor.work.remote(task.item, following)

    def _collect(self, desk: _Desk) -> Iterator[Result]:
        """Take the reply of a worker."""
        task = desk.task
        if task is None:
            self._welcome(desk)
            return
        try:
            answer: Answer = self._ray.get(desk.reply)
        except self._ray.exceptions.RayError as error:
            log.warning("%s: its worker died on %s", task.item["name"], desk.host)
            task.deaths, task.alone = task.deaths + 1, True
            if task.deaths < MAX_DEATHS:
                self._waiting.appendleft(task)
            else:
                yield self._result(desk, task, _died(error, time.monotonic() - desk.since_s))
            self._replace(desk)
            return
        if answer.kind != "out of memory":
            yield self._result(desk, task, answer)
            desk.task, desk.reply, desk.deadline_s = None, None, math.inf
            return
        if task.alone or not (task.read_ahead or desk.following):
            yield self._result(desk, task, answer)
        else:  # another one in this process may be what filled the memory
            task.alone = True
            self._waiting.appendleft(task)
        self._replace(desk)

    def _welcome(self, desk: _Desk) -> None:
        """A worker has started, or has not."""
        try:
            desk.host, _, refusal = self._ray.get(desk.reply)
        except self._ray.exceptions.RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                reason = "killed, crashed, or --memory_gib is too small"
                raise ValueError(f"{self._failed_starts} workers in a row died as they started: {reason}") from error
            self._replace(desk)
            return
        if refusal:
            raise ValueError(refusal)
        self._failed_starts, desk.reply = 0, None

    def _give_up(self, desk: _Desk) -> Result:
        """End a worker whose item takes too long."""
        if desk.task is None:
            raise RuntimeError("expected an item with a time limit")
        reason = f"took longer than the time limit of {self._timeout_s:g} s"
        answer = Answer("overdue", {}, reason, time.monotonic() - desk.since_s)
        result = self._result(desk, desk.task, answer)
        self._replace(desk)
        return result

    def _warn_if_none_works(self) -> None:
        now_s = time.monotonic()
        if any(desk.reply is None or desk.task is not None for desk in self._desks):
            self._warned_s = now_s
        elif now_s - self._warned_s > PATIENCE_S:
            self._warned_s = now_s
            log.warning("no worker has started for %.0f s: waiting for processors or GPUs of the cluster", PATIENCE_S)

    @staticmethod
    def _result(desk: _Desk, task: _Task, answer: Answer) -> Result:
        return Result(task.item, answer, desk.number, desk.host)


def _died(error: Exception, seconds: float) -> Answer:
    """The answer for an item whose workers have all died."""
    text = str(error).lower()
    why = "out of memory" if "memory pressure" in text or "low on memory" in text else "crashed, or out of memory"
    return Answer("fault", {}, f"{MAX_DEATHS} workers died with this pair: killed, {why}", seconds, str(error))
