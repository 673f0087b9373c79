"""What it means when somebody cancels a task, or wants it run again. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gridsidecar.rules.task import Status


class Steered(StrEnum):
    """What came of one task that somebody wanted cancelled or run again."""

    CANCELLED = "cancelled"
    ASKED = "asked"  # it runs; its worker ends it within seconds
    NOTED = "noted"  # nobody knows it yet: when its message comes, it ends as cancelled without having run
    RETRIED = "retried"
    NOT_FOUND = "not_found"
    NOT_SEEN = "not_seen"  # cancelled before its message came, which is all that it could run from
    NO_MESSAGE = "no_message"  # another program ran it, and its row does not hold what a message needs
    REFUSED_MESSAGE = "refused_message"  # its message is with the dead letters
    UNREACHABLE = "unreachable"  # another program runs it: it ends if its message comes back
    NOT_STORABLE = "not_storable"  # the database refuses the change
    PENDING = "wrong_state:pending"
    RUNNING = "wrong_state:running"
    RETRYING = "wrong_state:retrying"
    SUCCESS = "wrong_state:success"
    FAILED = "wrong_state:failed"
    IS_CANCELLED = "wrong_state:cancelled"

    @property
    def done(self) -> bool:
        """Whether the wish is met, or will be."""
        return self in (Steered.CANCELLED, Steered.ASKED, Steered.NOTED, Steered.RETRIED)

    @property
    def state(self) -> str:
        """That of a task in the wrong one."""
        return self.value.partition(":")[2]

    @classmethod
    def wrong_state(cls, status: Status) -> Steered:
        return cls(f"wrong_state:{status}")


class KnownRow(Struct, frozen=True, kw_only=True):
    """What these rules need of a task's row, read under its lock."""

    status: Status
    attempt: int = 0
    has_message: bool = True
    ours: bool = True  # a worker of ours had its message, or it was cancelled before one had
    set_aside: bool = False  # it waits, and nobody is to bring it back: its message is with the dead letters

    @property
    def unseen(self) -> bool:
        """Of ours, and its message was refused or has not come."""
        return self.ours and not self.has_message and self.attempt == 0


def cancel(row: KnownRow | None) -> Steered:
    """What waits ends at once, what runs is left to its worker. Without a row, one is made that says so."""
    if row is None:
        return Steered.NOTED
    if row.status is Status.RUNNING:
        return Steered.ASKED if row.ours else Steered.UNREACHABLE
    return Steered.wrong_state(row.status) if row.status.terminal else Steered.CANCELLED


def retry(row: KnownRow | None) -> Steered:
    """Only what failed or was cancelled runs again, and only from its message; that of a row of another program is made
    of its columns."""
    if row is None:
        return Steered.NOT_FOUND
    if row.status not in (Status.FAILED, Status.CANCELLED):
        return Steered.wrong_state(row.status)
    if row.unseen:
        return Steered.REFUSED_MESSAGE if row.status is Status.FAILED else Steered.NOT_SEEN
    return Steered.RETRIED


class Reopening(StrEnum):
    """What is to be done with a dead letter that somebody wants run again."""

    SEND = "send"  # its row waits for it, or there is none
    REOPEN = "reopen"  # its row says that it was refused
    RETRY = "retry"  # its task failed after it had begun


def replay(row: KnownRow | None) -> Reopening | Steered:
    """A letter is a retry by hand of its task: only while that has failed, or waits for this very message."""
    if row is None:
        return Reopening.SEND
    waits = row.status in (Status.PENDING, Status.RETRYING)
    if waits and (row.set_aside or not row.has_message):
        return Reopening.SEND
    if row.status is not Status.FAILED:
        return Steered.wrong_state(row.status)
    return Reopening.REOPEN if row.unseen else Reopening.RETRY
