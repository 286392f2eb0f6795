from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bundle.reports import CaseScore, score_case, summarize_cases, tre_markdown, write_tre_report


def make_score(name: str, registered_mm: float, *, landmarks: int = 5, **scores: float) -> CaseScore:
    """Points 20 mm (none), 5 mm (aligned) and `registered_mm` away along an axis with voxels of 2 mm."""
    moving = torch.zeros(landmarks, 3, dtype=torch.float64)
    axis = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    return score_case(
        name,
        fixed_mm=moving + 20 * axis,
        moving_mm=moving,
        aligned_mm=moving + 5 * axis,
        mapped_mm=moving + registered_mm * axis,
        moving_affine=torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=torch.float64)),
        **scores,
    )


def cells(markdown: str, label: str) -> list[list[str]]:
    """Cells of all table lines that start with a label."""
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith(f"| {label} ")]
    return [[cell.strip() for cell in line[1:]] for line in lines]


@pytest.fixture
def scores() -> list[CaseScore]:
    return [
        make_score("a", 1.5, landmarks=300, folding_percent=0.02, sd_log_jacobian=0.15, time_s=30.0),
        make_score("b", 2.6, landmarks=7, folding_percent=0.0, sd_log_jacobian=0.25),
    ]


def test_mean_and_std_are_over_cases_and_skip_what_was_not_measured(scores: list[CaseScore]) -> None:
    summary = summarize_cases(scores)
    assert summary["mean"]["tre_mm"] == pytest.approx(2.05)
    assert summary["std"]["tre_mm"] == pytest.approx(0.55)
    assert summary["mean"]["time_s"] == 30.0
    assert "name" not in summary["mean"]


def test_csv_json_and_markdown_tell_the_same_story(scores: list[CaseScore], tmp_path: Path) -> None:
    write_tre_report(tmp_path, scores)
    with (tmp_path / "tre.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    report = json.loads((tmp_path / "tre.json").read_text())
    for in_csv, in_json, score in zip(from_csv, report["cases"], scores, strict=True):
        for key, value in score.row().items():
            if isinstance(value, float) and math.isnan(value):
                assert in_csv[key] == ""
                assert in_json[key] is None
            elif isinstance(value, str):
                assert in_csv[key] == in_json[key] == value
            else:
                assert float(in_csv[key]) == in_json[key] == pytest.approx(value)
    assert report["mean"]["snapped_tre_mm"] == pytest.approx(2.0)  # 1.5 and 2.6 mm both snap to 2 mm

    continuous, snapped = cells((tmp_path / "tre.md").read_text(), "a")
    assert continuous == ["300", "20.00", "5.00", "1.50 ± 0.00", "1.50", "1.50", "0.0200", "0.150", "30.0"]
    assert snapped[1:4] == ["20.00", "6.00", "2.00 ± 0.00"]  # 5 mm is a tie between voxels and goes up
    assert cells((tmp_path / "tre.md").read_text(), "b")[0][-1] == "–"
    assert cells((tmp_path / "tre.md").read_text(), "mean ± std over 2 cases")[0][:4] == [
        "307",
        "20.00 ± 0.00",
        "5.00 ± 0.00",
        "2.05 ± 0.55",
    ]


def test_every_table_line_has_as_many_cells_as_its_header(scores: list[CaseScore]) -> None:
    lines = [line for line in tre_markdown(scores).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {11}


def test_only_dirlab_cases_stand_above_the_published_rows(scores: list[CaseScore]) -> None:
    assert "observer" not in tre_markdown(scores)
    markdown = tre_markdown([make_score("copd2", 1.5, trained_on=True), make_score("copd8", 0.4, trained_on=True)])
    assert cells(markdown, "**ours, registered (transductive)**") == [["2.00", "0.00", "1.00"]]
    assert cells(markdown, "observer repeat error") == [["1.06", "0.96", "1.01"]]
    assert cells(markdown, "RRN (paper, transductive)") == [["1.21", "0.73", "0.97"]]


def test_published_numbers_are_compared_with_the_snapped_ones() -> None:
    markdown = tre_markdown([make_score("copd1", 1.5)])
    assert "snapped mean TRE" in markdown
    assert cells(markdown, "ours, aligned") == [["6.00", "6.00"]]


@pytest.mark.parametrize(
    ("trained_on", "weights", "sentence"),
    [
        ((True, True), "transductive", "trained on the pairs evaluated here"),
        ((False, False), "held out", "none of the pairs evaluated here"),
        ((False, True), "mixed", "trained on b; the other pairs were not"),
        ((None, None), "unknown", "it is unknown which pairs"),
    ],
)
def test_the_report_says_which_pairs_the_weights_were_trained_on(
    trained_on: tuple[bool | None, bool | None], weights: str, sentence: str, scores: list[CaseScore], tmp_path: Path
) -> None:
    pairs = zip(scores, trained_on, strict=True)
    write_tre_report(tmp_path, [replace(score, trained_on=value) for score, value in pairs])
    assert sentence in (tmp_path / "tre.md").read_text()
    report = json.loads((tmp_path / "tre.json").read_text())
    assert report["weights"] == weights
    kinds = {True: "transductive", False: "held out", None: "unknown"}
    assert [case["weights"] for case in report["cases"]] == [kinds[value] for value in trained_on]


def test_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scores: expected at least one case"):
        write_tre_report(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
