"""`report.html` of a registered pair, and the index of many."""

from bundle.reports.html.index_page import write_index
from bundle.reports.html.lung_function import replace_function
from bundle.reports.html.page import PAGE, report_page, write_report_page
from bundle.reports.html.section import LUNG_FUNCTION, check_section
from bundle.reports.html.sheet import replace_sheet

__all__ = [
    "LUNG_FUNCTION",
    "PAGE",
    "check_section",
    "replace_function",
    "replace_sheet",
    "report_page",
    "write_index",
    "write_report_page",
]
