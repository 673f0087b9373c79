"""What a check found, and what all of them come to."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"  # it SHOULD be otherwise
    NOT_APPLICABLE = "not applicable"
    INCONCLUSIVE = "inconclusive"  # it could not be found out


class CheckResult(Struct, frozen=True):
    """`seen` is what happened, `advice` what the author is to do; both in plain words."""

    status: Verdict
    seen: str
    advice: str = ""


class ReportedCheck(Struct, frozen=True, kw_only=True):
    """A check with what it found."""

    name: str
    requirements: tuple[str, ...]
    level: int
    finding: CheckResult

    def strictly(self) -> ReportedCheck:
        """A warning is a failure."""
        if self.finding.status is not Verdict.WARNING:
            return self
        return replace(self, finding=replace(self.finding, status=Verdict.FAILED))


class ConformanceReport(Struct, frozen=True, kw_only=True):
    mode: str  # oneshot | persistent
    guessed: bool  # the mode, from whether it says ready
    level: int
    checked: tuple[ReportedCheck, ...]

    def count(self, status: Verdict) -> int:
        return sum(each.finding.status is status for each in self.checked)

    @property
    def failed(self) -> bool:
        return self.count(Verdict.FAILED) > 0

    @property
    def inconclusive(self) -> bool:
        return not self.failed and self.count(Verdict.INCONCLUSIVE) > 0


def passed(seen: str) -> CheckResult:
    return CheckResult(Verdict.PASSED, seen)


def failed(seen: str, advice: str) -> CheckResult:
    return CheckResult(Verdict.FAILED, seen, advice)


def warning(seen: str, advice: str) -> CheckResult:
    return CheckResult(Verdict.WARNING, seen, advice)


def not_applicable(why: str, advice: str = "") -> CheckResult:
    return CheckResult(Verdict.NOT_APPLICABLE, why, advice)


def inconclusive(why: str, advice: str) -> CheckResult:
    return CheckResult(Verdict.INCONCLUSIVE, why, advice)
