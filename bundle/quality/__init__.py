"""Whether a registration can be trusted, without landmarks."""

from bundle.quality.assess_registration import AssessRegistrationd
from bundle.quality.evidence import Evidence, Residuals, examine, gather_evidence
from bundle.quality.quality_sheet import QUALITY, TRE_MEAN_MM, items_of, quality_sheet, with_contours
from bundle.quality.verdict import RULES, Rule, Verdict, judge
from bundle.quality.verdict_table import end_with_verdicts, write_verdicts
from bundle.quality.vessel_residual import VesselResidual, vessel_residual

__all__ = [
    "QUALITY",
    "RULES",
    "TRE_MEAN_MM",
    "AssessRegistrationd",
    "Evidence",
    "Residuals",
    "Rule",
    "Verdict",
    "VesselResidual",
    "end_with_verdicts",
    "examine",
    "gather_evidence",
    "items_of",
    "judge",
    "quality_sheet",
    "vessel_residual",
    "with_contours",
    "write_verdicts",
]
