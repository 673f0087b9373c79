"""`gridsidecar doctor`: whether servers, handlers and manifests fit the configuration. It changes nothing."""

from gridsidecar.doctor.examination import Report, examine
from gridsidecar.doctor.finding import Checked, Finding, State

__all__ = ["Checked", "Finding", "Report", "State", "examine"]
