"""Whether a registration can be trusted, without landmarks."""

from bundle.quality.assess_registration import AssessRegistrationd
from bundle.quality.evidence import Evidence, gather_evidence
from bundle.quality.verdict import RULES, Rule, Verdict, judge
from bundle.quality.verdict_table import end_with_verdicts, write_verdicts
from bundle.quality.vessel_residual import VesselResidual, vessel_residual

__all__ = [
    "RULES",
    "AssessRegistrationd",
    "Evidence",
    "Rule",
    "Verdict",
    "VesselResidual",
    "end_with_verdicts",
    "gather_evidence",
    "judge",
    "vessel_residual",
    "write_verdicts",
]
