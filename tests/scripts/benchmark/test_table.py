from __future__ import annotations

import csv
import math
from pathlib import Path

from scripts.benchmark.table import benchmark_markdown, write_benchmark_tables
from tests.scripts.benchmark.cases import LABELS, make_result


def row_of(markdown: str, label: str) -> list[str]:
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {label}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_holds_the_mean_over_cases_of_each_statistic_of_a_case() -> None:
    results = [make_result(case="a"), make_result(case="b", tre_mm=[3.0, 3.0])]
    cells = row_of(benchmark_markdown(results, LABELS), "a good method")
    # case a: mean 2.5, median 2.5, p95 3.85; case b: 3, 3, 3
    assert cells[1:] == ["2.75 ± 0.25", "2.75", "3.42", "0.2500", "0.125", "12.5", "1024"]


def test_rows_are_in_the_order_of_the_labels_and_a_single_case_has_no_deviation() -> None:
    markdown = benchmark_markdown([make_result("poor"), make_result("good"), make_result("none")], LABELS)
    places = [markdown.index(f"| {label}") for label in LABELS.values()]
    assert places == sorted(places)
    assert row_of(markdown, "a poor method")[1] == "2.50"


def test_what_was_not_measured_is_a_dash_and_a_missing_case_is_told() -> None:
    results = [make_result("none", time_s=math.nan), make_result("good"), make_result("good", case="test_01")]
    markdown = benchmark_markdown(results, LABELS)
    assert row_of(markdown, "no registration (1 of 2 cases)")[6] == "–"
    assert "2 cases, 8 landmarks" in markdown


def test_the_csv_has_one_line_for_each_case_and_method(tmp_path: Path) -> None:
    results = [make_result("poor"), make_result("none", time_s=math.nan), make_result("good", data="scan")]
    write_benchmark_tables(tmp_path, results, LABELS)
    with (tmp_path / "benchmark.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["data"], row["method"]) for row in rows] == [
        ("phantoms", "none"),
        ("phantoms", "poor"),
        ("scan", "good"),
    ]
    assert rows[0]["time_s"] == ""
    assert float(rows[1]["tre_p95_mm"]) == 3.85
    assert "a good method" in (tmp_path / "benchmark.md").read_text()


def test_methods_are_ranked_on_every_data_set_they_have_run_on_whole() -> None:
    results = [
        make_result("good", data="simulated", tre_mm=[1.0, 2.0]),
        make_result("poor", data="simulated", tre_mm=[3.0, 4.0]),
        make_result("good", data="hard", tre_mm=[5.0, 7.0]),
        make_result("poor", data="hard", tre_mm=[2.0, 3.0]),
        make_result("poor", data="hard", case="test_01", tre_mm=[4.0, 5.0]),
    ]
    ranks = benchmark_markdown(results, LABELS).partition("## Ranks")[2]
    assert row_of(ranks, "method") == ["method", "hard", "simulated"]
    assert row_of(ranks, "a good method") == ["a good method", "–", "1.50 (1)"]
    assert row_of(ranks, "a poor method") == ["a poor method", "3.50 (1)", "3.50 (2)"]
    assert "no registration" not in ranks
    assert "## Ranks" not in benchmark_markdown(results[:2], LABELS)
