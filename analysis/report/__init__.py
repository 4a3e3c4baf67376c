"""A series as one page: every figure, the tables, and where the numbers come from."""

from analysis.report.make import Report, write_report
from analysis.report.tables import Table, all_tables

__all__ = ["Report", "Table", "all_tables", "write_report"]
