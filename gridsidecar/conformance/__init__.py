"""Whether a handler keeps to the specification in `protocol/`, and what its author has to mend."""

from gridsidecar.conformance.bench import Bench, Limits
from gridsidecar.conformance.checks import CHECKS, SERVER_CHECKS, check_handler
from gridsidecar.conformance.finding import Checked, Finding, Report, Status

__all__ = ["CHECKS", "SERVER_CHECKS", "Bench", "Checked", "Finding", "Limits", "Report", "Status", "check_handler"]
