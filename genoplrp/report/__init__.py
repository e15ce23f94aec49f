"""The live report: one HTML file with logos drawn in the browser and a slider over p; it computes no relevance."""

from genoplrp.report.maps import MapStore
from genoplrp.report.page import ReportContent, check_report_path, report_page, write_report

__all__ = ["MapStore", "ReportContent", "check_report_path", "report_page", "write_report"]
