"""`report.html` of a registered pair, and the index of many."""

from bundle.reports.html.index_page import write_index
from bundle.reports.html.page import PAGE, report_page, write_report_page
from bundle.reports.html.sheet import replace_sheet

__all__ = ["PAGE", "replace_sheet", "report_page", "write_index", "write_report_page"]
