"""Tables, pictures and files about registered pairs."""

from bundle.reports.case_score import CaseScore, StageTRE, score_case, score_pair
from bundle.reports.overview import draw_overview
from bundle.reports.registration_report import registration_report, report_title
from bundle.reports.save_registration import SaveRegistrationd
from bundle.reports.score_registration import ScoreRegistrationd
from bundle.reports.tre_table import summarize_cases, tre_markdown, write_tre_report

__all__ = [
    "CaseScore",
    "SaveRegistrationd",
    "ScoreRegistrationd",
    "StageTRE",
    "draw_overview",
    "registration_report",
    "report_title",
    "score_case",
    "score_pair",
    "summarize_cases",
    "tre_markdown",
    "write_tre_report",
]
