from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.cohort.summary import summarize, summary_markdown, write_summary

ROWS = [
    {"name": str(number), "verdict": "ok", "seconds": 10.0 + number, "tre_mm": None, "lncc": 0.6, "reason": ""}
    for number in range(100)
] + [
    {"name": "x", "verdict": "failed", "seconds": 5.0, "tre_mm": 9.0, "lncc": None, "reason": "folds"},
    {"name": "y", "verdict": "not registered", "seconds": 600.0, "reason": "no such file"},
    {"name": "z", "verdict": "not registered", "seconds": 1.0, "reason": "no such file"},
]


def test_distributions_are_those_of_the_pairs_with_a_result() -> None:
    summary = summarize(ROWS)
    assert summary["pairs"] == 103
    assert summary["verdicts"] == {"not registered": 2, "failed": 1, "check": 0, "ok": 100}
    assert summary["reasons"] == {"not registered": {"no such file": 2}, "failed": {"folds": 1}}
    seconds = np.array([*(10.0 + np.arange(100)), 5.0])
    found = summary["distributions"]["seconds"]
    assert (found["pairs"], found["min"], found["max"], found["median"]) == (101, 5.0, 109.0, np.median(seconds))
    assert found["mean"] == pytest.approx(seconds.mean())
    assert found["p95"] == pytest.approx(np.percentile(seconds, 95))
    assert summary["distributions"]["tre_mm"]["pairs"] == 1
    assert summary["distributions"]["folding_percent"] == {"pairs": 0}


def test_the_summary_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    assert write_summary(tmp_path, ROWS) == json.loads((tmp_path / "summary.json").read_text())
    text = (tmp_path / "summary.md").read_text()
    assert "| not registered | 2 |" in text
    assert "- 2 × no such file" in text
    assert Image.open(tmp_path / "summary.png").size[0] > 800


def test_an_empty_cohort_has_a_summary() -> None:
    assert "| ok | 0 |" in summary_markdown(summarize([]))
