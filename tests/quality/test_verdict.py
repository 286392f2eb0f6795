from __future__ import annotations

import dataclasses

import pytest

from bundle.quality import RULES, Evidence, judge

GOOD = Evidence(
    lungs_missing=0.0,
    volume_ratio=0.7,
    mass_ratio=0.95,
    lung_overlap=0.98,
    lungs_covered=1.0,
    lncc=0.75,
    lncc_gain=0.3,
    vessels_matched=0.98,
    vessel_residual_mm=0.8,
    inverse_consistency_mm=0.05,
    folding_percent=0.0,
    scale_change=1.1,
    rotation_deg=3.0,
    displacement_mm=20.0,
)


def test_good_evidence_is_ok_without_reasons() -> None:
    assert judge(GOOD) == judge(Evidence())  # nothing measured, nothing suspicious
    assert judge(GOOD).level == "ok"
    assert judge(GOOD).reasons == ()


def test_every_measurement_has_a_rule_and_every_rule_a_measurement() -> None:
    assert {rule.name for rule in RULES} == {field.name for field in dataclasses.fields(Evidence)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name} {'high' if rule.is_high_bad else 'low'}")
def test_a_value_beyond_a_limit_is_named(rule: object) -> None:
    sign = 1 if rule.is_high_bad else -1  # type: ignore[attr-defined]
    for limit, level in ((rule.check, "check"), (rule.failed, "failed")):  # type: ignore[attr-defined]
        value = limit + sign * 1e-6
        verdict = judge(dataclasses.replace(GOOD, **{rule.name: value}))  # type: ignore[attr-defined]
        assert verdict.level == level
        assert verdict.reasons == (rule.words.format(value=value),)  # type: ignore[attr-defined]
    inner = judge(dataclasses.replace(GOOD, **{rule.name: rule.check - sign * 1e-6}))  # type: ignore[attr-defined]
    assert inner.level == "ok"


def test_the_worst_reason_comes_first_and_decides() -> None:
    verdict = judge(dataclasses.replace(GOOD, folding_percent=1.0, lncc=0.1), {"spacing of 1 mm": "check"})
    assert verdict.level == "failed"
    assert verdict.reasons[0].startswith("the scans hardly agree")
    assert set(verdict.reasons[1:]) == {"spacing of 1 mm", "the transform folds in 1.00 % of the lungs"}
