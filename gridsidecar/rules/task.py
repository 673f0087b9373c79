"""The values of a task on its way: message, task, claim, outcome, transition. Frozen, and free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gridsidecar.rules.trace import Trace

LONGEST_TYPE = 100  # characters of a task_type


class Status(StrEnum):
    """State of a task's row, in the words its users already know."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


class ErrorType(StrEnum):
    """`error_type` values of ours. A handler may use any other name."""

    VALIDATION = "ValidationError"
    TIMEOUT = "TimeoutError"
    RETRY_EXHAUSTED = "RetryExhausted"
    HANDLER_EXIT = "HandlerExit"
    HANDLER_SIGNAL = "HandlerSignal"
    HANDLER_ERROR = "HandlerError"
    OUT_OF_MEMORY = "OutOfMemory"
    START_FAILED = "StartFailed"
    STALLED = "Stalled"
    CANCELLED = "Cancelled"
    WORKER_LOST = "WorkerLost"


# -- a message, as the broker carries it ------------------------------------------------------------------------------


class Message(Struct, frozen=True, kw_only=True):
    """A broker message: the producer's body and properties, untouched, and what we stamped on it.

    What is ours travels as `x-gridsidecar-*` headers; a producer's message has none of them.
    """

    body: bytes
    message_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None
    app_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)  # without our stamps
    attempt: int = 0  # the row's attempt when we sent it; 0 = a producer sent it
    wake_up: bool = False  # a wake-up of ours: it may start a task but never needs to be kept
    seen_running: int = 0  # how often in a row this message found its task running elsewhere
    passed: int = 0  # seconds that workers without a handler for its type sent it away for, until now
    rejections: int = 0  # how often in a row the store refused to write what this message had come to
    kept: str | None = None  # the row that keeps it, refused, until the dead-letter queue takes it
    callback: bool = False  # it reports a task's end, so it is never a task
    prewritten_id: str | None = None  # the id of the message whose row its producer wrote first; None: it wrote none

    def counted_anew(self, attempt: int) -> Message:
        """For the row's `attempt`, with nothing counted: what was counted in a row has come to an end."""
        return replace(self, attempt=attempt, seen_running=0, passed=0, rejections=0)


# -- a task, as its producer wrote it ---------------------------------------------------------------------------------


class Callback(Struct, frozen=True, kw_only=True):
    """Whom a producer wants told of its task's end, and what it wants to hear again with it."""

    url: str | None = None
    type: str = "http"  # http | rabbitmq
    data: Any = None

    @property
    def wanted(self) -> bool:
        return self.url is not None or self.type == "rabbitmq"


NO_CALLBACK = Callback()


class Task(Struct, frozen=True, kw_only=True):
    """What a producer asks for. `fields` is the whole decoded object, for the handler."""

    task_id: str
    message: Message
    task_type: str = "default"
    data: Any = None
    max_retry_count: int | None = None  # retries after the first attempt; None = the handler's policy says
    callback: Callback = NO_CALLBACK
    priority: int = 0  # 0 – 9, larger runs first
    timeout: float | None = None  # seconds; None = the handler's
    defer_by: float | None = None  # seconds
    defer_until: datetime | None = None  # aware, UTC
    idempotency_key: str | None = None  # for the handler; None or empty = the task_id
    fields: Mapping[str, Any] = field(default_factory=dict)


class Claim(Struct, frozen=True, kw_only=True):
    """This worker owns this attempt of this task. id + attempt + worker fence every write."""

    task: Task
    attempt: int
    worker_id: str
    max_retry_count: int
    retry_count: int = 0
    crashes: int = 0
    interruptions: int = 0
    redelivered: bool = False
    checkpoint: Any = None
    ahead: bool = False  # the row says that it was claimed before there was a slot for it
    worker_name: str | None = None  # of its worker, for people
    span: Trace | None = None  # of this attempt, where spans are sent

    @property
    def trace(self) -> Trace | None:
        """What this attempt belongs to: its own span, else what the producer's message says."""
        return self.span or Trace.of(self.task.message.headers)

    @property
    def trace_id(self) -> str | None:
        return None if self.trace is None else self.trace.trace_id

    @property
    def task_id(self) -> str:
        return self.task.task_id


# -- how an attempt ended ---------------------------------------------------------------------------------------------


class Succeeded(Struct, frozen=True):
    result: Any = None


class Failed(Struct, frozen=True, kw_only=True):
    """`retryable` None leaves it to the policy; `retry_after` is in seconds."""

    error: str
    error_type: str
    retryable: bool | None = None
    retry_after: float | None = None
    traceback: str | None = None


class Cancelled(Struct, frozen=True):
    """Someone asked for the end of this task and the handler is gone."""


class Interrupted(Struct, frozen=True):
    """Our own shutdown ended the handler; the task is given back and no retry is spent."""


class Displaced(Struct, frozen=True, kw_only=True):
    """Its process ended under it and other tasks; it is given back and no retry is spent."""

    error: str
    error_type: str
    suspect: bool  # it may have been its doing: counted as a crash, and the next attempt has a process to itself


class NotStarted(Struct, frozen=True):
    """The task was claimed, and no handler had it; it is given back and nothing is spent."""


class CannotStart(Struct, frozen=True):
    """The command is missing or cannot be executed; the task is not to blame."""

    error: str


class Disowned(Struct, frozen=True):
    """The row says that this attempt is no longer ours; the handler was killed and nothing may be written."""


Outcome = Succeeded | Failed | Cancelled | Interrupted | Displaced | NotStarted | CannotStart | Disowned


class Report(Struct, frozen=True, kw_only=True):
    """What one run of a handler used and left behind, kept with the attempt."""

    exit_code: int | None = None
    signal: int | None = None
    duration_s: float = 0.0
    spawn_s: float | None = None  # what starting its process took; None: it had one already
    cpu_s: float | None = None  # user + system, of the child and its waited-for children
    peak_rss_bytes: int | None = None
    log_head: str = ""
    log_tail: str = ""
    log_dropped_bytes: int = 0
    stderr_tail: str = ""
    ignored_events: int = 0  # later terminal messages, bad events, oversize lines: counted, never fatal
    notes: tuple[str, ...] = ()  # short facts for people: "late result", "exit 3 after a result", …


class Ended(Struct, frozen=True):
    """One attempt's end: what it means and what it cost."""

    outcome: Outcome
    report: Report = Report()


class Checkpoint(Struct, frozen=True):
    """Where the next attempt of a task may go on: any JSON value of the handler's own."""

    data: Any


class Progress(Struct, frozen=True):
    """0 – 100, or None to leave the figure as it is; message and checkpoint likewise."""

    percent: float | None = None
    message: str | None = None
    checkpoint: Checkpoint | None = None


class OutputPart(Struct, frozen=True):
    """Some of an attempt's output, from its byte `start` on."""

    start: int
    data: bytes


class NewOutput(Struct, frozen=True):
    """What an attempt has said lately; and of what it said before, from which byte to which is not kept any more."""

    parts: tuple[OutputPart, ...] = ()
    outdated: tuple[int, int] | None = None


# -- what an end does to the row --------------------------------------------------------------------------------------


class Settle(StrEnum):
    """What happens to the delivery once the transition is stored."""

    ACK = "ack"
    DELAY = "delay"  # a delayed message after `delay`, then ack
    REQUEUE = "requeue"  # nack; a wake-up where the delivery was handed off


class Transition(Struct, frozen=True, kw_only=True):
    """The row's next state, as a value. Built by `lifecycle`, or by `store.end_forms` where the database refuses that;
    applied by `store` in one fenced write."""

    status: Status
    settle: Settle
    outcome: str  # the word in the attempt's history
    delay: float | None = None  # seconds until the next run is due
    retry_count: int
    crashes: int
    interruptions: int
    result: Any = None
    error: str | None = None
    error_type: str | None = None
    last_error_type: str | None = None  # of the last attempt, when error_type is RetryExhausted
    traceback: str | None = None
    beats_cancel: bool = False  # a success wins over a cancel request


# -- what others are told ---------------------------------------------------------------------------------------------


class TaskUpdate(Struct, frozen=True, kw_only=True):
    """Something happened to a task and is stored: the one value that log lines, figures, notices, hooks and the
    callback sender are derived from.

    `status` is the row's by now: an ended one, `retrying`, or `pending` for a task that was given back.
    """

    task_id: str
    task_type: str
    status: Status
    attempt: int
    task: Task | None = None  # None: its message could not be read
    retry_count: int = 0
    max_retry_count: int = 0
    result: Any = None
    error: str | None = None
    error_type: str | None = None
    last_error_type: str | None = None
    traceback: str | None = None
    retry_in: float | None = None  # seconds
    report: Report | None = None  # of the attempt that ended; None: the task ended without one
    span: Trace | None = None  # of the attempt that ended, where spans are sent
    outcome: str | None = None  # the attempt's, as its history has it
    waited: float | None = None  # seconds from its message's arrival to its handler's start; None: there was none

    @property
    def trace_id(self) -> str | None:
        trace = self.span or (None if self.task is None else Trace.of(self.task.message.headers))
        return None if trace is None else trace.trace_id

    @classmethod
    def of_attempt(
        cls, claim: Claim, transition: Transition, report: Report, waited: float | None = None
    ) -> TaskUpdate:
        """An attempt ended, and its transition is stored."""
        return cls(
            task_id=claim.task_id,
            task_type=claim.task.task_type,
            status=transition.status,
            attempt=claim.attempt,
            task=claim.task,
            retry_count=transition.retry_count,
            max_retry_count=claim.max_retry_count,
            result=transition.result,
            error=transition.error,
            error_type=transition.error_type,
            last_error_type=transition.last_error_type,
            traceback=transition.traceback,
            retry_in=transition.delay,
            report=report,
            span=claim.span,
            outcome=transition.outcome,
            waited=waited,
        )
