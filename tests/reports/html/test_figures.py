from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from bundle.quality import RULES, Evidence, judge
from bundle.quality.verdict import Rule
from bundle.reports import registration_report
from bundle.reports.html.figures import SCORE_WORDS, WORDS, figures
from tests.recipes import make_recipe
from tests.reports.html.registered import make_registered

FINE = Evidence(
    lungs_missing=0.0,
    volume_ratio=0.7,
    mass_ratio=1.0,
    lung_overlap=0.97,
    lungs_covered=1.0,
    lncc=0.7,
    lncc_gain=0.2,
    vessels_matched=0.9,
    vessel_residual_mm=1.0,
    inverse_consistency_mm=0.1,
    folding_percent=0.0,
    scale_change=1.1,
    rotation_deg=3.0,
    displacement_mm=20.0,
)


@pytest.fixture
def report(tmp_path: Any) -> dict[str, Any]:
    return registration_report(make_registered(with_landmarks=True), tmp_path / "model.pt", make_recipe())


def test_every_measurement_has_words() -> None:
    assert set(WORDS) == {field.name for field in fields(Evidence)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name} {'high' if rule.is_high_bad else 'low'}")
@pytest.mark.parametrize("level", ["check", "failed"])
def test_the_table_judges_as_the_verdict_does(rule: Rule, level: str, report: dict[str, Any]) -> None:
    value = getattr(rule, level) + (0.01 if rule.is_high_bad else -0.01)
    evidence = replace(FINE, **{rule.name: value})
    assert judge(evidence).level == level
    report["evidence"] = {field.name: getattr(evidence, field.name) for field in fields(evidence)}
    rows = [row for row in figures(report) if row.state in ("check", "failed")]
    assert [(row.label, row.state) for row in rows] == [(WORDS[rule.name].label, level)]
    assert figures(report)[0] == rows[0]  # the worst first


def test_what_was_not_measured_says_so(report: dict[str, Any]) -> None:
    report["evidence"]["vessels_matched"] = None
    (row,) = [row for row in figures(report) if row.label == WORDS["vessels_matched"].label]
    assert (row.value, row.state, row.good) == ("–", "not measured", "at least 50%")


def test_both_limits_of_a_ratio_are_stated(report: dict[str, Any]) -> None:
    (row,) = [row for row in figures(report) if row.label == WORDS["volume_ratio"].label]
    assert row.good == "at least 0.35 and at most 2.50"


def test_landmark_errors_are_listed_only_with_landmarks(report: dict[str, Any]) -> None:
    values = {row.label: row.value for row in figures(report)}
    assert values[SCORE_WORDS["tre_mm"].label] == "2.50 mm"  # 1, 2, 3 and 4 mm
    assert values[SCORE_WORDS["tre_max_mm"].label] == "4.00 mm"
    report["scores"] |= {key: None for key in report["scores"] if "tre" in key}
    assert not [row for row in figures(report) if row.label.startswith("TRE")]
