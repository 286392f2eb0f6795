"""Pairs an hour of scripts.cohort with different workers, and of one process, measured in turns on one machine."""

from __future__ import annotations

import csv
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bundle.processors import THREADS, WAIT_POLICY
from bundle.reports.markdown import markdown_table
from scripts.benchmark.methods import ROOT
from scripts.benchmark.resources.process import run_measured
from scripts.benchmark.resources.write import write_rows

ONE_PROCESS = "one process, 2 threads"
WORKERS = {  # how many, and threads of each; one process runs configs/inference.json
    "1 worker, 1 thread": (1, 1),
    "2 workers, 1 thread": (2, 1),
    "1 worker, 2 threads": (1, 2),
    ONE_PROCESS: (1, 2),
}
STATUS = "status.csv"


class Run(NamedTuple):
    """One row of throughput.csv.

    Args:
        workers: of `WORKERS`.
        seconds_per_pair: from the first pairs that end, one of each worker, to the last, for each pair after them.
        overhead_s: of a pair and a worker: what is not spent in the worker's registration; NaN of one process.
        time_s: of the whole command.
    """

    workers: str
    round: int
    pairs: int
    seconds_per_pair: float
    overhead_s: float
    time_s: float


def measure_throughput(pairs_file: Path, directory: Path, *, rounds: int) -> list[Run]:
    """Register all pairs of a file with each kind of workers in turns; writes its tables after each.

    Raises: RuntimeError if a run fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    for number in range(rounds):
        for workers in WORKERS:
            runs.append(_measure(pairs_file, directory, workers, number))
            write_throughput(directory, runs)
    return runs


def _measure(pairs_file: Path, directory: Path, workers: str, number: int) -> Run:
    count, threads = WORKERS[workers]
    folder = directory / f"{workers}_{number}".replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "results"
    shutil.rmtree(out, ignore_errors=True)
    environment: dict[str, str | None] = dict.fromkeys(THREADS)
    if workers == ONE_PROCESS:
        command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
        command += ["--pairs_file", str(pairs_file), "--output_dir", str(out)]
        environment |= {name: str(threads) for name in THREADS} | {WAIT_POLICY: "PASSIVE"}
    else:
        command = [sys.executable, "-m", "scripts.cohort", "--pairs", str(pairs_file), "--output_dir", str(out)]
        command += ["--workers", str(count), "--threads", str(threads)]
    cost = run_measured(command, folder=folder, cwd=ROOT, environment=environment)
    ends_s = [file.stat().st_mtime for file in out.glob("*/report.json")]
    rate = seconds_per_pair(ends_s, count)
    overhead = float("nan") if workers == ONE_PROCESS else rate * count - worker_seconds(out / STATUS, skip=count)
    shutil.rmtree(out)
    return Run(workers, number, len(ends_s), rate, overhead, cost.time_s)


def seconds_per_pair(ends_s: Sequence[float], workers: int) -> float:
    """Time between the ends of pairs, without the start of the workers, from when each of them has done one.

    Raises: ValueError if there are no more pairs than workers.
    """
    if len(ends_s) <= workers:
        raise ValueError(f"expected more pairs than the {workers} workers, got {len(ends_s)}")
    ordered = sorted(ends_s)
    return (ordered[-1] - ordered[workers - 1]) / (len(ordered) - workers)


def worker_seconds(status: Path, *, skip: int) -> float:
    """Mean time in a worker of the pairs after the first ones."""
    with status.open(encoding="utf-8") as file:
        return statistics.mean([float(row["seconds"]) for row in csv.DictReader(file)][skip:])


def throughput_markdown(runs: Sequence[Run]) -> str:
    """Medians of each kind of workers, and its pairs an hour over those of the others."""
    of_kind: dict[str, list[float]] = {}
    for run in runs:
        of_kind.setdefault(run.workers, []).append(run.seconds_per_pair)
    medians = {workers: statistics.median(seconds) for workers, seconds in of_kind.items()}
    cells = []
    for workers, seconds in medians.items():
        ratios = [f"{medians[other] / seconds:.2f}" for other in medians]
        cells.append([workers, f"{seconds:.2f}", f"{3600 / seconds:.0f}", *ratios])
    header = ["workers", "seconds a pair", "pairs an hour", *(f"over {workers}" for workers in medians)]
    return "\n".join([*markdown_table(header, cells), ""])


def write_throughput(directory: Path, runs: Sequence[Run]) -> None:
    """Write throughput.csv and throughput.md."""
    write_rows(directory / "throughput", runs, throughput_markdown(runs), numbers=".3f")
