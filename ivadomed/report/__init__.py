"""``report.html``: one self-contained page per evaluation, easy to share."""

from ivadomed.report.contents import Report
from ivadomed.report.events import Curve, read_curves
from ivadomed.report.page import write_report

__all__ = ["Curve", "Report", "read_curves", "write_report"]
