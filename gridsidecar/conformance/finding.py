"""What a check found, and what all of them come to."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"  # it SHOULD be otherwise
    NOT_APPLICABLE = "not applicable"
    INCONCLUSIVE = "inconclusive"  # it could not be found out


class Finding(Struct, frozen=True):
    """`seen` is what happened, `advice` what the author is to do; both in plain words."""

    status: Status
    seen: str
    advice: str = ""


class Checked(Struct, frozen=True, kw_only=True):
    """A check with what it found."""

    name: str
    requirements: tuple[str, ...]
    level: int
    finding: Finding

    def strictly(self) -> Checked:
        """A warning is a failure."""
        if self.finding.status is not Status.WARNING:
            return self
        return replace(self, finding=replace(self.finding, status=Status.FAILED))


class Report(Struct, frozen=True, kw_only=True):
    mode: str  # oneshot | persistent
    guessed: bool  # the mode, from whether it says ready
    level: int
    checked: tuple[Checked, ...]

    def count(self, status: Status) -> int:
        return sum(each.finding.status is status for each in self.checked)

    @property
    def failed(self) -> bool:
        return self.count(Status.FAILED) > 0

    @property
    def inconclusive(self) -> bool:
        return not self.failed and self.count(Status.INCONCLUSIVE) > 0


def passed(seen: str) -> Finding:
    return Finding(Status.PASSED, seen)


def failed(seen: str, advice: str) -> Finding:
    return Finding(Status.FAILED, seen, advice)


def warning(seen: str, advice: str) -> Finding:
    return Finding(Status.WARNING, seen, advice)


def not_applicable(why: str, advice: str = "") -> Finding:
    return Finding(Status.NOT_APPLICABLE, why, advice)


def inconclusive(why: str, advice: str) -> Finding:
    return Finding(Status.INCONCLUSIVE, why, advice)
