from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from scripts.benchmark.resources.throughput import (
    Run,
    seconds_per_pair,
    throughput_markdown,
    worker_seconds,
    write_throughput,
)

DOCS = Path(__file__).parents[4] / "docs"
RUNS = [
    Run("1 worker, 1 thread", 0, 8, 20.0, 0.1, 190.0),
    Run("2 workers, 1 thread", 0, 8, 12.0, 0.2, 110.0),
    Run("1 worker, 1 thread", 1, 8, 22.0, 0.1, 200.0),
    Run("2 workers, 1 thread", 1, 8, 10.0, 0.2, 100.0),
]


@pytest.mark.parametrize(
    ("workers", "ends_s"),
    [(1, [130.0 + 10 * n for n in range(8)]), (2, [130.0 + 20 * (n // 2) + 10 * (n % 2) for n in range(8)])],
)
def test_the_start_of_the_workers_is_no_part_of_the_time_of_a_pair(workers: int, ends_s: list[float]) -> None:
    assert seconds_per_pair(ends_s[::-1], workers) == pytest.approx(10.0)


def test_more_pairs_than_workers_are_needed() -> None:
    with pytest.raises(ValueError, match="expected more pairs than the 2 workers, got 2"):
        seconds_per_pair([1.0, 2.0], 2)


def test_the_first_pair_of_each_worker_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "status.csv").write_text("name,seconds\na,90\nb,80\nc,10\nd,12\n")
    assert worker_seconds(tmp_path / "status.csv", skip=2) == 11.0


def test_the_table_holds_medians_and_their_ratios(tmp_path: Path) -> None:
    assert "| 2 workers, 1 thread | 11.00 | 327 | 1.91 | 1.00 |" in throughput_markdown(RUNS)
    write_throughput(tmp_path, [*RUNS, Run("one process, 2 threads", 0, 8, 15.0, math.nan, 150.0)])
    with (tmp_path / "throughput.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seconds_per_pair"] for row in rows] == ["20.000", "12.000", "22.000", "10.000", "15.000"]
    assert (rows[0]["overhead_s"], rows[4]["overhead_s"]) == ("0.100", "nan")


def test_the_documents_repeat_the_measured_table() -> None:
    with (DOCS / "benchmarks" / "throughput.csv").open() as file:
        runs = [
            Run(workers, int(number), int(pairs), *map(float, figures))
            for workers, number, pairs, *figures in list(csv.reader(file))[1:]
        ]
    assert throughput_markdown(runs) in (DOCS / "scale.md").read_text()
    assert max(run.overhead_s for run in runs if run.workers.startswith("1 worker")) <= 0.02
