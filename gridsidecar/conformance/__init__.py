"""Whether a handler keeps to the specification in `protocol/`, and what its author has to mend."""

from gridsidecar.conformance.bench import Bench, Limits
from gridsidecar.conformance.checks import CHECKS, SERVER_CHECKS, check_handler
from gridsidecar.conformance.verdict import CheckResult, ConformanceReport, ReportedCheck, Verdict

__all__ = [
    "CHECKS",
    "SERVER_CHECKS",
    "Bench",
    "CheckResult",
    "ConformanceReport",
    "Limits",
    "ReportedCheck",
    "Verdict",
    "check_handler",
]
