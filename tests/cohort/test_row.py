from __future__ import annotations

from bundle.cohort.row import COLUMNS, NOT_REGISTERED, row_of_failure, row_of_report

REPORT = {
    "name": "a",
    "verdict": "check",
    "reasons": ["one", "two"],
    "scores": {"time_s": 7.5, "tre_mm": None, "folding_percent": 0.25},
    "lncc": {"aligned": 0.4, "registered": 0.7},
}


def test_the_row_of_a_report_holds_its_figures() -> None:
    row = row_of_report(REPORT)
    assert row.keys() < set(COLUMNS)
    assert (row["name"], row["verdict"], row["reason"]) == ("a", "check", "one; two")
    assert (row["seconds"], row["tre_mm"], row["lncc"], row["folding_percent"]) == (7.5, None, 0.7, 0.25)


def test_the_row_of_a_failure_holds_its_reason_and_no_figures() -> None:
    row = row_of_failure("a", "no such file", 2.5)
    assert row == {"name": "a", "verdict": NOT_REGISTERED, "seconds": 2.5, "reason": "no such file"}
