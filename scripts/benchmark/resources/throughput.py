"""Pairs an hour of scripts.cohort with different workers, and of one process, measured in turns on one machine."""

from __future__ import annotations

import csv
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bundle.io import atomic_path
from bundle.processors import THREADS, WAIT_POLICY
from bundle.reports.markdown import markdown_table
from scripts.benchmark.methods import ROOT
from scripts.benchmark.resources.process import run_measured

ONE_PROCESS = "one process, 2 threads"
CREWS = {  # workers and threads of each; one process runs configs/inference.json
    "1 worker, 1 thread": (1, 1),
    "2 workers, 1 thread": (2, 1),
    "1 worker, 2 threads": (1, 2),
    ONE_PROCESS: (1, 2),
}
STATUS = "status.csv"


class Run(NamedTuple):
    """One row of throughput.csv.

    Args:
        crew: of `CREWS`.
        seconds_per_pair: from the first pairs that end, one of each worker, to the last, for each pair after them.
        overhead_s: of a pair and a worker: what is not spent in the worker's registration; NaN of one process.
        time_s: of the whole command.
    """

    crew: str
    round: int
    pairs: int
    seconds_per_pair: float
    overhead_s: float
    time_s: float


def measure_throughput(pairs_file: Path, directory: Path, *, rounds: int) -> list[Run]:
    """Register all pairs of a file with each crew in turns; write throughput.csv and throughput.md after each.

    Raises: RuntimeError if a run fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    for number in range(rounds):
        for crew in CREWS:
            runs.append(_measure(pairs_file, directory, crew, number))
            write_throughput(directory, runs)
    return runs


def _measure(pairs_file: Path, directory: Path, crew: str, number: int) -> Run:
    workers, threads = CREWS[crew]
    folder = directory / f"{crew}_{number}".replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "results"
    shutil.rmtree(out, ignore_errors=True)
    environment: dict[str, str | None] = dict.fromkeys(THREADS)
    if crew == ONE_PROCESS:
        command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
        command += ["--pairs_file", str(pairs_file), "--output_dir", str(out)]
        environment |= {name: str(threads) for name in THREADS} | {WAIT_POLICY: "PASSIVE"}
    else:
        command = [sys.executable, "-m", "scripts.cohort", "--pairs", str(pairs_file), "--output_dir", str(out)]
        command += ["--workers", str(workers), "--threads", str(threads)]
    cost = run_measured(command, folder=folder, cwd=ROOT, environment=environment)
    ends_s = [file.stat().st_mtime for file in out.glob("*/report.json")]
    rate = seconds_per_pair(ends_s, workers)
    overhead = float("nan") if crew == ONE_PROCESS else rate * workers - worker_seconds(out / STATUS, skip=workers)
    shutil.rmtree(out)
    return Run(crew, number, len(ends_s), rate, overhead, cost.time_s)


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
    """Medians of each crew, and its pairs an hour over those of the others."""
    crews = dict.fromkeys(run.crew for run in runs)
    medians = {crew: statistics.median(run.seconds_per_pair for run in runs if run.crew == crew) for crew in crews}
    cells = []
    for crew, seconds in medians.items():
        ratios = [f"{medians[other] / seconds:.2f}" for other in medians]
        cells.append([crew, f"{seconds:.2f}", f"{3600 / seconds:.0f}", *ratios])
    header = ["crew", "seconds a pair", "pairs an hour", *(f"over {crew}" for crew in medians)]
    return "\n".join([*markdown_table(header, cells), ""])


def write_throughput(directory: Path, runs: Sequence[Run]) -> None:
    """Write throughput.csv and throughput.md."""
    with atomic_path(directory / "throughput.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Run._fields)
        writer.writerows([*run[:3], *(f"{value:.3f}" for value in run[3:])] for run in runs)
    with atomic_path(directory / "throughput.md") as path:
        path.write_text(throughput_markdown(runs), encoding="utf-8")
