"""`gridsidecar doctor`: whether servers, handlers and manifests fit the configuration. It changes nothing."""

from gridsidecar.doctor.examination import DoctorReport, examine
from gridsidecar.doctor.finding import Diagnosis, Finding, State

__all__ = ["Diagnosis", "DoctorReport", "Finding", "State", "examine"]
