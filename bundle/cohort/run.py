"""Register a cohort of pairs on Ray."""

from __future__ import annotations

import csv
import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from bundle.cohort.estimate import estimate, free_bytes, look_at
from bundle.cohort.folder import (
    HIDDEN,
    check_apart,
    check_contract,
    claim,
    contract_of,
    emptied,
    finished_rows,
    remove_results,
)
from bundle.cohort.progress import Progress
from bundle.cohort.registrar import PairRegistrar, build_workflow
from bundle.cohort.row import NOT_REGISTERED, row_of_failure
from bundle.cohort.session import ray_session, room_for_workers
from bundle.cohort.sources import BreathSorter, Study, read_cohort, take_shard, write_table
from bundle.cohort.status import STATUS, Status, read_status
from bundle.cohort.summary import finish
from bundle.cohort.worker import Handle
from bundle.cohort.worker_pool import Result, WorkerPool
from bundle.io import atomic_path, make_folder
from bundle.io.atomic import locked_folder

log = logging.getLogger(__name__)

LIST, LEFT_OUT = "pairs", "left_out"  # tables


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The workers of a cohort.

    Args:
        address: of a Ray cluster; None for this machine.
        workers: how many; None for as many as fit.
        threads: processors of each.
        gpus: share of a GPU for each; None for a quarter where there are GPUs.
        memory_gib: most that each may allocate; None for no limit.
        timeout_s: for a pair; None for no limit.
    Raises: ValueError for a number that cannot be meant.
    """

    address: str | None = None
    workers: int | None = None
    threads: int = 1
    gpus: float | None = None
    memory_gib: float | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        least = {"workers": (self.workers, 1), "threads": (self.threads, 1), "gpus": (self.gpus, 0)}
        for name, (value, low) in least.items():
            if value is not None and value < low:
                raise ValueError(f"--{name}: expected {low} or more, got {value}")
        for name, limit in (("memory_gib", self.memory_gib), ("pair_timeout_s", self.timeout_s)):
            if limit is not None and limit <= 0:
                raise ValueError(f"--{name}: expected a number above 0, got {limit:g}")

    def session(self) -> Any:
        """Ray, as a context."""
        return ray_session(self.address, processors=(self.workers or 1) * self.threads)

    def count(self) -> tuple[int, float]:
        """Workers, and the share of a GPU for each; in a session."""
        room, share = room_for_workers(self.threads, self.gpus)
        return self.workers or room, share

    def pool(self, make: Callable[[], Handle]) -> WorkerPool:
        """The workers, in a session."""
        workers, share = self.count()
        return WorkerPool(
            make,
            workers=workers,
            threads=self.threads,
            gpus=share,
            timeout_s=self.timeout_s,
            memory_gib=self.memory_gib,
        )


def run_cohort(
    pairs: str | Path,
    output_dir: str | Path,
    *,
    options: Mapping[str, Any],
    worker_options: WorkerOptions,
    shard: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
) -> bool:
    """Register all pairs of a list or folder that are not finished; results as `scripts.cohort` describes them.

    Args:
        pairs: see `bundle.cohort.sources.read_cohort`.
        output_dir: created if missing.
        options: ids of `configs/inference.json` with other values.
        worker_options: the workers.
        shard: see `take_shard`.
        dry_run: check headers and estimate only.
        overwrite: also register finished pairs.
    Returns: whether a pair has failed, or has no result.
    Raises: FileNotFoundError, ValueError: what is wrong with the list, an option or the folder; OSError: a full disk.
    """
    found, studies = read_cohort(pairs)
    items, folder, contract = take_shard(found, shard), Path(output_dir).absolute(), contract_of(options)
    check_apart(folder, found)
    build_workflow(options)  # what is wrong with them is known before anything is written
    stem = STATUS if shard is None else f"{STATUS}_{shard.strip().replace('/', '_of_')}"
    if studies:
        list_pairs(take_shard(studies, shard), items, folder, worker_options, stem)
        return False
    if dry_run:
        report_estimate(items, folder, contract, worker_options, stem)
        return False
    if not overwrite:
        check_contract(folder, items, contract)
    is_done = not overwrite and len(finished_rows(folder, items, contract)) == len(items)
    with nullcontext() if is_done else worker_options.session():
        if not is_done:
            worker_options.count()
        claim(folder, items, contract, overwrite=overwrite)
        work = folder / HIDDEN / stem
        work.mkdir(parents=True, exist_ok=True)
        with locked_folder(work):
            if overwrite:
                remove_results(folder, items)
            finished = finished_rows(folder, items, contract)
            names = {row["name"] for row in finished}
            todo = [item for item in items if item["name"] not in names]
            log.info("%s: %d of %d pairs are finished", folder, len(finished), len(items))
            with emptied(work), Status(folder / stem, finished) as status:
                if todo:
                    make = partial(PairRegistrar, dict(options), folder, work)
                    work_on(todo, worker_options.pool(make), status, folder)
    return finish(folder, {item["name"] for item in found})


def work_on(items: Sequence[Mapping[str, Any]], pool: WorkerPool, status: Status, folder: Path) -> None:
    """Let a pool of workers work on pairs, with their status and progress. Raises: OSError if the disk is full."""
    full, start_s = 0, time.monotonic()
    with Progress(len(items)) as progress, logging_redirect_tqdm():
        for result in pool.run(items):
            row = row_of(result)
            status.add(row, **({"trace": result.answer.trace} if result.answer.trace else {}))
            progress.update(failed=row["verdict"] in (NOT_REGISTERED, "failed"))
            if row["verdict"] == NOT_REGISTERED:
                log.warning("%s: not registered: %s", row["name"], row["reason"])
            if result.answer.kind == "disk full":
                full += 1
                pool.stop()
    log.info("%d pairs in %.1f s, %d failed", progress.done, time.monotonic() - start_s, progress.failed)
    if full:
        left = len(items) - progress.done + full
        raise OSError(errno.ENOSPC, f"the disk is full: {left} pairs are left; free space, then run again", str(folder))


def row_of(result: Result) -> dict[str, Any]:
    """The row of the status."""
    answer = result.answer
    failure = row_of_failure(result.item["name"], answer.reason, round(answer.seconds, 3))
    row = dict(answer.row) if answer.kind == "done" else failure
    return row | {"worker": result.worker, "host": result.host}


def report_estimate(
    pairs: Sequence[Mapping[str, str]],
    folder: Path,
    contract: Mapping[str, Any],
    worker_options: WorkerOptions,
    stem: str,
) -> None:
    """Check every header, and say what the pairs that are not finished will take; nothing is written.

    Raises: ValueError naming the pairs that cannot be used.
    """
    finished = {row["name"] for row in finished_rows(folder, pairs, contract)}
    todo = [pair for pair in pairs if pair["name"] not in finished]
    looks = look_at(todo)
    done = [row for row in read_status(folder / f"{stem}.jsonl") if row["verdict"] != NOT_REGISTERED]
    seconds = [row["seconds"] for row in done if row["seconds"] is not None]
    with worker_options.session():
        workers, _ = worker_options.count()
    expected = estimate(looks, workers=workers, threads=worker_options.threads, seconds=seconds)
    log.info("%d pairs are finished; %s, with %d workers", len(finished), expected, workers)
    free = free_bytes(folder) / 1e12
    if free < expected.terabytes:
        log.warning("%s: the disk has %.2f TB free, %.2f TB are needed", folder, free, expected.terabytes)
    problems = [" ".join(look.problem.split()) for look in looks if look.problem]
    if problems:
        raise ValueError("\n".join([f"{len(problems)} of {len(todo)} pairs cannot be used", *problems]))


def list_pairs(
    studies: Sequence[Study], pairs: Sequence[Mapping[str, str]], folder: Path, worker_options: WorkerOptions, stem: str
) -> Path:
    """Tell exhale and inhale of studies apart by lung volume and write the pairs to a table to look at.

    Args:
        pairs: others, that go into the table as they are.
    Raises: ValueError if there is no pair.
    """
    make_folder(folder)
    rows, left_out = list(pairs), []
    items = [{"name": study.name, "files": study.files} for study in studies]
    with worker_options.session(), Progress(len(items)) as progress, logging_redirect_tqdm():
        for result in worker_options.pool(BreathSorter).run(items):
            rows += result.answer.row.get("pairs", [])
            if result.answer.reason:
                left_out.append((result.item["name"], result.answer.reason))
                log.warning("%s: left out: %s", *left_out[-1])
            progress.update(failed=bool(result.answer.reason))
    if left_out and not rows:
        raise ValueError(f"no study with an exhale and an inhale scan:\n{left_out[0][0]}: {left_out[0][1]}")
    suffix = stem.removeprefix(STATUS)
    file, other = folder / f"{LIST}{suffix}.csv", folder / f"{LEFT_OUT}{suffix}.csv"
    write_table(file, sorted(rows, key=lambda row: row["name"]))
    with atomic_path(other) as path, path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("name", "reason"), *sorted(left_out)])
    log.info("%d pairs, %d studies left out. Look at %s, then pass it as --pairs", len(rows), len(left_out), file)
    return file
