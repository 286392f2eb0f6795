"""Tables of a benchmark in Markdown and CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from bundle.io.atomic import atomic_path
from bundle.metrics import summarize_tre
from bundle.reports.markdown import markdown_table
from bundle.reports.tre_table import format_number
from scripts.benchmark.result import BenchmarkResult

HEADER = ("method", "TRE mean", "median", "p95", "folding %", "SDlogJ", "time, s", "memory, MiB")
COLUMNS = {  # of the CSV: decimals in the Markdown table
    "tre_mean_mm": 2,
    "tre_median_mm": 2,
    "tre_p95_mm": 2,
    "folding_percent": 4,
    "sd_log_jacobian": 3,
    "time_s": 1,
    "peak_memory_mib": 0,
}
SIGNIFICANT_DIGITS = 6
NOTE = (
    "TRE in mm, continuous, computed identically from each method's dense field: mean, median and 95th percentile over "
    "the landmarks of each case, averaged over cases. Folding and SDlogJ inside the fixed lung mask, on the fixed "
    "grid. Time and peak memory are of the method's whole process, including reading and writing."
)


def result_row(result: BenchmarkResult) -> dict[str, float]:
    """Numbers of one result by the keys of `COLUMNS`."""
    summary = summarize_tre(torch.tensor(result.tre_mm, dtype=torch.float64))
    return {
        "tre_mean_mm": summary.mean_mm,
        "tre_median_mm": summary.median_mm,
        "tre_p95_mm": summary.p95_mm,
        "folding_percent": result.folding_percent,
        "sd_log_jacobian": result.sd_log_jacobian,
        "time_s": result.time_s,
        "peak_memory_mib": result.peak_memory_mib,
    }


def benchmark_markdown(results: Sequence[BenchmarkResult], labels: Mapping[str, str]) -> str:
    """One table per data set with one row per method and, for several data sets, one of the methods' ranks.

    Args:
        results: in any order.
        labels: label of each method, in the order of the rows.
    """
    machines = sorted({result.machine for result in results})
    parts = ["# Benchmark", "", f"Measured on {'; '.join(machines)}. {NOTE}", ""]
    for data, of_data in by_data(results):
        cases = {result.case: len(result.tre_mm) for result in of_data}
        parts += [f"## {data}: {len(cases)} cases, {sum(cases.values())} landmarks", ""]
        table = []
        for method, label in labels.items():
            rows = [result_row(result) for result in of_data if result.method == method]
            if rows:
                missing = "" if len(rows) == len(cases) else f" ({len(rows)} of {len(cases)} cases)"
                cells = [_mean_cell([row[key] for row in rows], key) for key in COLUMNS]
                table.append([label + missing, *cells])
        parts += [*markdown_table(HEADER, table), ""]
    return "\n".join([*parts, *_ranks(results, labels)])


def _ranks(results: Sequence[BenchmarkResult], labels: Mapping[str, str]) -> list[str]:
    """Lines of one table of several data sets: mean TRE of each method that ran on all cases, and its rank."""
    sets = list(by_data(results))
    if len(sets) < 2:
        return []
    cells: dict[str, list[str]] = {method: [] for method in labels}
    for _, of_data in sets:
        means = _complete_means_mm(of_data)
        order = sorted(means, key=lambda method: means[method])
        for method in labels:
            rank = f" ({order.index(method) + 1})" if method in means else ""
            cells[method].append(format_number(means.get(method), COLUMNS["tre_mean_mm"]) + rank)
    measured = {result.method for result in results}
    rows = [[label, *cells[method]] for method, label in labels.items() if method in measured]
    header = ["method", *[data for data, _ in sets]]
    return ["## Ranks: TRE mean, mm (rank)", "", *markdown_table(header, rows), ""]


def _complete_means_mm(of_data: Sequence[BenchmarkResult]) -> dict[str, float]:
    """Mean TRE over the cases of a data set, of the methods that ran on all of them."""
    cases = {result.case for result in of_data}
    means: dict[str, list[float]] = {}
    for result in of_data:
        means.setdefault(result.method, []).append(result_row(result)["tre_mean_mm"])
    return {method: math.fsum(values) / len(cases) for method, values in means.items() if len(values) == len(cases)}


def write_benchmark_tables(directory: Path, results: Sequence[BenchmarkResult], labels: Mapping[str, str]) -> None:
    """Write `benchmark.md` and `benchmark.csv` (one line per case and method) to an existing directory.

    Args: see `benchmark_markdown`.
    """
    with atomic_path(directory / "benchmark.md") as path:
        path.write_text(benchmark_markdown(results, labels), encoding="utf-8")
    with atomic_path(directory / "benchmark.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data", "case", "method", "landmarks", *COLUMNS])
        for _, of_data in by_data(results):
            for result in sorted(of_data, key=lambda result: (result.case, list(labels).index(result.method))):
                values = [f"{value:.{SIGNIFICANT_DIGITS}g}" for value in result_row(result).values()]
                names = [result.data, result.case, result.method, str(len(result.tre_mm))]
                writer.writerow([*names, *["" if value == "nan" else value for value in values]])


def by_data(results: Sequence[BenchmarkResult]) -> Iterator[tuple[str, list[BenchmarkResult]]]:
    """Yield data sets in alphabetical order with their results."""
    for data in sorted({result.data for result in results}):
        yield data, [result for result in results if result.data == data]


def _mean_cell(values: Sequence[float], key: str) -> str:
    measured = [value for value in values if not math.isnan(value)]
    if not measured:
        return format_number(None)
    mean = math.fsum(measured) / len(measured)
    cell = format_number(mean, COLUMNS[key])
    if key == "tre_mean_mm" and len(measured) > 1:
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in measured) / len(measured))
        cell += f" ± {format_number(std, COLUMNS[key])}"
    return cell
