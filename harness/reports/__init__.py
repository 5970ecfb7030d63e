"""Table → figures → one HTML file. `Report` is what one says, `write` makes the page."""

from harness.reports.content import Report
from harness.reports.page import write

__all__ = ["Report", "write"]
