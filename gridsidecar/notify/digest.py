"""What one message tells: the first tasks in detail, the rest counted by what happened to them. Bounded in memory."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.notify import truncation
from gridsidecar.notify.rendering import Facts, Wording
from gridsidecar.rules.flow import BreakerChange
from gridsidecar.rules.task import ErrorType, Status, TaskUpdate

DETAILED = 10  # tasks that a message tells of one by one
BREAKERS = 10  # changes of breakers that a message tells of, the last ones
KINDS = 50  # kinds that are counted apart; a handler may invent error types without end

# Limits in bytes. Feishu takes 20 KB a message, and JSON may double a text.
NAME, ERROR, TRACE = 400, 1500, 4000
TASK_ID = 1020  # 255 characters: never cut


class CountKey(Struct, frozen=True):
    """What is counted together; without a `task_type`: all that is not counted apart."""

    status: Status
    task_type: str | None = None
    error_type: str | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """One task's update, cut to what a message may carry."""

    moment: datetime
    task_id: str
    task_type: str
    status: Status
    attempt: int  # 0: it ended without one
    attempts_allowed: int | None = None  # None: nobody knows
    error: str | None = None
    error_type: str | None = None
    last_error_type: str | None = None
    traceback: str | None = None
    stderr_tail: str | None = None  # only where there is an error without a traceback
    retry_in: float | None = None  # seconds
    duration: float | None = None  # seconds
    subject: str | None = None  # in the operator's words, if there are any
    text: str | None = None

    @property
    def refused(self) -> bool:
        """A message without a usable id: it never became a task."""
        return not self.task_id and not self.attempt

    @classmethod
    def of(cls, update: TaskUpdate, moment: datetime, wording: Wording) -> Notice:
        facts = Facts(update, wording.origin, moment)
        report = update.report
        stderr = report.stderr_tail if report and update.error is not None and not update.traceback else ""
        return cls(
            moment=moment,
            task_id=truncation.line(update.task_id, TASK_ID),
            task_type=truncation.line(update.task_type, NAME),
            status=update.status,
            attempt=update.attempt,
            attempts_allowed=_attempts_allowed(update),
            error=None if update.error is None else truncation.head(update.error, ERROR),
            error_type=_name(update.error_type),
            last_error_type=_name(update.last_error_type),
            traceback=truncation.tail(update.traceback or "", TRACE) or None,
            stderr_tail=truncation.tail(stderr, TRACE) or None,
            retry_in=update.retry_in,
            duration=report.duration_s if report else None,
            subject=wording.subject_of(facts),
            text=wording.text_of(facts),
        )


def _name(name: str | None) -> str | None:
    return None if name is None else truncation.line(name, NAME)


def _attempts_allowed(update: TaskUpdate) -> int | None:
    """Attempts that cost no retry (a rescue, a shutdown) come on top."""
    if update.report is None or update.status is Status.CANCELLED:
        return None
    spent = update.retry_count + (0 if update.status is Status.RETRYING else 1)
    return update.max_retry_count + 1 + max(0, update.attempt - spent)


class Digest:
    """All that came since the last message."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []  # the first ones
        self.kinds: Counter[CountKey] = Counter()
        self.breakers: list[BreakerChange] = []
        self.undelivered = 0  # notices of messages before, which nobody took

    def add(self, update: TaskUpdate, moment: datetime, wording: Wording) -> None:
        """Take one more in; what is to be told of it is rendered now."""
        kind = _kind(update)
        if kind not in self.kinds and len(self.kinds) >= KINDS:
            kind = CountKey(update.status)
        self.kinds[kind] += 1
        if len(self.notices) < DETAILED:
            self.notices.append(Notice.of(update, moment, wording))

    def add_breaker(self, change: BreakerChange) -> None:
        """Take a breaker's change in."""
        cut = replace(
            change, task_type=truncation.line(change.task_type, NAME), error=truncation.line(change.error, NAME)
        )
        self.breakers = [*self.breakers, cut][-BREAKERS:]

    @property
    def told(self) -> int:
        """Tasks and breakers that it tells of."""
        return self.count + len(self.breakers)

    @property
    def count(self) -> int:
        """Tasks that it tells of, in detail or not."""
        return self.kinds.total()

    @property
    def more(self) -> int:
        """Tasks that it only counts."""
        return self.count - len(self.notices)

    @property
    def told_or_lost(self) -> int:
        """Notices that are lost if nobody takes this message."""
        return self.told + self.undelivered

    @property
    def statuses(self) -> Counter[Status]:
        """Tasks by status, the gravest first."""
        counts: Counter[Status] = Counter()
        for status in GRAVITY:
            for kind, number in self.kinds.items():
                if kind.status is status:
                    counts[status] += number
        return counts


GRAVITY = (Status.FAILED, Status.RETRYING, Status.CANCELLED, Status.SUCCESS)


def _kind(update: TaskUpdate) -> CountKey:
    """The last attempt's error says more than that retries ran out."""
    exhausted = update.error_type == ErrorType.RETRY_EXHAUSTED
    error_type = (update.last_error_type if exhausted else None) or update.error_type
    return CountKey(update.status, truncation.line(update.task_type, NAME), _name(error_type))
