"""Whether to trust a registration: a verdict with reasons in words, from evidence that needs no landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bundle.quality.evidence import Evidence

Level = Literal["ok", "check", "failed"]
WORST_FIRST: tuple[Level, ...] = ("failed", "check", "ok")


class Rule(NamedTuple):
    """A measurement and the values beyond which a result needs a check or has failed."""

    name: str
    is_high_bad: bool
    check: float
    failed: float
    words: str

    def level(self, value: float) -> Level:
        """What a value says by itself."""
        beyond = [value > limit if self.is_high_bad else value < limit for limit in (self.check, self.failed)]
        return "failed" if all(beyond) else "check" if beyond[0] else "ok"


RULES = (  # calibrated: docs/verdict.md
    Rule("lungs_missing", True, 0.5, 2.5, "no lung found in {value:.0f} of the 2 scans"),
    Rule("volume_ratio", True, 2.5, 4.0, "the moving lungs have {value:.2f} times the volume of the fixed lungs"),
    Rule("volume_ratio", False, 0.35, 0.2, "the moving lungs have {value:.2f} times the volume of the fixed lungs"),
    Rule("mass_ratio", True, 1.5, 3.0, "the moving lungs have {value:.2f} times the mass of the fixed lungs"),
    Rule("mass_ratio", False, 0.67, 0.33, "the moving lungs have {value:.2f} times the mass of the fixed lungs"),
    Rule("lung_overlap", False, 0.9, 0.75, "the warped lungs overlap the fixed lungs with a Dice of {value:.2f} only"),
    Rule("lungs_covered", False, 0.95, 0.6, "only {value:.0%} of the fixed lungs lie in the moving scan"),
    Rule("lncc", False, 0.45, 0.3, "the scans hardly agree after registration: LNCC {value:.2f}"),
    Rule("lncc_gain", False, -0.001, -0.1, "the scans agree less than after the initial alignment: LNCC {value:+.3f}"),
    Rule("vessels_matched", False, 0.5, 0.25, "only {value:.0%} of the vessels have a counterpart near by"),
    Rule("vessel_residual_mm", True, 7.0, 9.0, "a quarter of the vessels is {value:.1f} mm or more from its match"),
    Rule("inverse_consistency_mm", True, 1.0, 5.0, "forward and inverse fields differ by {value:.1f} mm"),
    Rule("folding_percent", True, 0.5, 5.0, "the transform folds in {value:.2f} % of the lungs"),
    Rule("scale_change", True, 1.4, 2.5, "the initial alignment changes lengths by a factor of {value:.2f}"),
    Rule("rotation_deg", True, 20.0, 60.0, "the initial alignment rotates the scan by {value:.0f} degrees"),
    Rule("displacement_mm", True, 60.0, 120.0, "the field moves tissue by {value:.0f} mm beyond the initial alignment"),
)


@dataclass(frozen=True)
class Verdict:
    """`ok`, `check` (look at the result before use) or `failed`, with reasons."""

    level: Level
    reasons: tuple[str, ...]


def judge(evidence: Evidence, signs: Mapping[str, Level] | None = None) -> Verdict:
    """The verdict on a pair.

    Args:
        evidence: measurements; those that are NaN decide nothing.
        signs: further reasons in words, such as implausible headers, with their level.
    """
    found = {**(signs or {})}
    for rule in RULES:
        value = float(getattr(evidence, rule.name))
        if math.isnan(value):
            continue
        if (level := rule.level(value)) != "ok":
            found[rule.words.format(value=value)] = level
    reasons = sorted(found, key=lambda reason: WORST_FIRST.index(found[reason]))
    return Verdict(found[reasons[0]] if reasons else "ok", tuple(reasons))
