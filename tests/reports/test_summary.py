from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundle.reports.summary import summarize_report


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "name": "case",
        "scores": {
            "landmarks": 3,
            "tre_none_mm": 20.0,
            "tre_aligned_mm": 5.0,
            "tre_mm": 1.25,
            "folding_percent": 0.5,
            "sd_log_jacobian": 0.125,
            "time_s": 40.0,
        },
        "lncc": {"aligned": 0.25, "registered": 0.75},
        "warnings": [],
        "verdict": "ok",
        "reasons": [],
        "seconds_by_step": {"LoadImaged": 1.0, "Network": 4.0, "InstanceOptimization": 30.0},
    }


def test_the_summary_says_what_happened_and_where_the_files_are(report: dict[str, Any], tmp_path: Path) -> None:
    for name in ("warped.nii.gz", "report.json"):
        (tmp_path / name).touch()
    assert summarize_report(report, tmp_path).splitlines() == [
        "case",
        "  LNCC     0.250 after the initial alignment, 0.750 registered",
        "  TRE      20.00 mm without registration, 5.00 mm aligned, 1.25 mm registered (3 landmarks)",
        "  folding  0.500 % of the lung voxels; SDlogJ 0.125",
        "  time     40.0 s (instance optimisation 30.0 s, network 4.0 s)",
        f"  files    {tmp_path}: report.json, warped.nii.gz",
        "  verdict  ok",
    ]


def test_without_landmarks_there_is_no_tre_and_warnings_are_listed(report: dict[str, Any], tmp_path: Path) -> None:
    report["scores"]["tre_mm"] = None
    report |= {"warnings": ["one", "two", "three"], "verdict": "check", "reasons": ["three", "four"]}
    lines = summarize_report(report, tmp_path).splitlines()
    assert not any("TRE" in line for line in lines)
    assert "  warnings one; two" in lines
    assert lines[-1] == "  verdict  check: three; four"
