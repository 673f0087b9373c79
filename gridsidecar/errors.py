"""What can go wrong around the tasks. How a task itself ends is a value (`task.Outcome`), never an exception."""

from __future__ import annotations

from msgspec import Struct

# Exit codes follow sysexits.h.
EX_OK = 0
EX_FAILED = 1
EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_RETRY = 75
EX_REFUSED = 77
EX_CONFIG = 78
EX_INTERRUPTED = 130  # as shells say: 128 + SIGINT


class GridSidecarError(Exception):
    """Base of every error that is told to the user in one sentence, without a traceback: what happened, and in `advice`
    what to do about it, where that is said apart."""

    exit_code = EX_FAILED

    def __init__(self, found: str, advice: str = "") -> None:
        super().__init__(f"{found}; {advice}" if advice else found)
        self.found = found
        self.advice = advice


class Fault(Struct, frozen=True):
    """One mistake in the configuration: where it is, what stands there, what is allowed. Of a whole file, the key is
    empty."""

    key: str
    problem: str
    value: str | None = None
    source: str | None = None  # file name, or the variable's name
    line: int | None = None

    def __str__(self) -> str:
        place = self.source or ""
        if self.line is not None:
            place += f":{self.line}"
        shown = "" if self.value is None else f" = {self.value}"
        return ": ".join(part for part in (place, self.key + shown, self.problem) if part)


class ConfigError(GridSidecarError):
    """The configuration cannot work; carries every fault found, not just the first. `usable` are the settings without
    what is wrong, where there are any."""

    exit_code = EX_CONFIG

    def __init__(self, faults: list[Fault], usable: object = None) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
        self.usable = usable


class UsageError(GridSidecarError):
    """The command line asks for something that cannot be done."""

    exit_code = EX_USAGE


class Unavailable(GridSidecarError):
    """A server cannot be reached right now; trying again later may help."""

    exit_code = EX_UNAVAILABLE


class StoreUnavailable(Unavailable):
    """The database is away, read-only, full or too slow. Fails no task."""


class BrokerUnavailable(Unavailable):
    """The broker is away or did not confirm in time. Fails no task."""


class PublishRefused(GridSidecarError):
    """The broker will not take this message: no such queue, no permission, or queue full."""


class AccessRefused(GridSidecarError):
    """A server answered and said no: wrong password, no such database, missing table, missing right."""

    exit_code = EX_REFUSED


class OperationRefused(AccessRefused):
    """The login is good, but its user may not do this one thing."""
