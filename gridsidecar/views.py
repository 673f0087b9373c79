"""What is told of tasks, attempts, callbacks, workers and the rest: the fields of each.

Plain dicts at run time, as a database's row or as JSON has them; their keys and types are known to the type checker.
A time is text: in UTC as the database writes it, and in ISO 8601 once `gridsidecar.operations.shapes` has been over it.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class PausedView(TypedDict):
    """What keeps a task from its start although it is due."""

    since_at: str
    until_at: str | None
    cool_down: float | None  # seconds, where a breaker set it
    reason: str | None


class TaskState(TypedDict):
    """What lists and progress bars need of a task."""

    task_id: str
    task_type: str
    status: str  # a word of `Status`, or whatever another program has written
    progress: int  # percent
    progress_message: str | None
    retry_count: int
    max_retry_count: int
    attempt: int
    error_message: str | None
    error_type: str | None
    last_error_type: str | None
    created_at: str | None
    updated_at: str | None
    started_at: str | None
    completed_at: str | None
    queue: str | None
    due_in_s: float | None
    paused: NotRequired[PausedView | None]


class TaskSummary(TaskState):
    """One task of a list."""

    data: NotRequired[Any]  # where it was asked for
    rev: NotRequired[int]  # every change of a row changes it


def cancelled_unrun(task: TaskState) -> bool:
    """Whether it was cancelled and never began."""
    return task["status"] == "cancelled" and task["attempt"] == 0


class TaskView(TaskState):
    """One task whole."""

    data: Any
    result: Any
    callback_url: str | None
    callback_type: str
    callback_data: Any
    traceback: str | None
    priority: int | None
    timeout: int | None  # seconds
    crashes: int
    interruptions: int
    worker_id: str | None
    worker: str | None
    handed_off: bool
    next_run_at: str | None
    cancel_requested: bool
    checkpoint: Any
    attempts: NotRequired[list[AttemptView]]
    callbacks: NotRequired[list[CallbackView]]
    says: NotRequired[str | None]  # its last line, while it runs


class AttemptView(TypedDict):
    """One attempt; what its handler said is told by itself."""

    attempt: int
    worker_id: str | None
    worker: str | None
    started_at: str | None
    ended_at: str
    outcome: str
    error_message: str | None
    error_type: str | None
    exit_code: int | None
    signal_number: int | None
    cpu_seconds: float | None
    peak_memory: int | None  # bytes
    stderr_tail: str | None
    notes: str | None


class CallbackRow(TypedDict):
    """One callback as it is stored; a letter is what a failed task owes to the dead letters."""

    task_id: str
    id: str
    rerun: int
    attempt: int
    queue: str | None
    kind: str  # http, rabbitmq, or letter
    url: str | None
    body: str | None  # JSON text
    tries: int
    failures: int
    next_try_at: str | None
    last_error: str | None
    dead: int
    created_at: str
    delivered_at: str | None


class CallbackView(TypedDict):
    """One callback as programs are told of it."""

    task_id: str
    id: str
    state: str  # owed, delivered, or dead where it was given up
    rerun: int
    attempt: int
    queue: str | None
    kind: str
    url: str | None
    tries: int
    failures: int
    next_try_at: str | None
    last_error: str | None
    created_at: str
    delivered_at: str | None
    body: NotRequired[str | None]  # of one that is asked for by itself


class WorkerView(TypedDict):
    """One worker with a row of its own; `version` and `concurrency` are None where an older one wrote it."""

    id: str
    name: str
    queue: str
    version: str | None
    concurrency: int | None
    started_at: str
    expires_at: str
    alive: bool
    running: int


class PauseView(TypedDict):
    """One type that is paused, in one queue."""

    queue: str
    task_type: str
    since_at: str
    until_at: str | None
    ended: bool  # what was parked is on its way back
    cool_down: float | None  # seconds, where a breaker set it
    reason: str | None
    parked: int


class TypeCounts(TypedDict):
    """Tasks of one type in one state."""

    task_type: str
    status: str
    count: int
    at_least: bool
    seconds: float | None  # from start to end, on average


class Figures(TypedDict):
    """How many tasks are where, what is owed, who works on it. `…at_least` has the counts that are floors."""

    tasks: list[TypeCounts]
    statuses: dict[str, int]
    at_least: list[str]
    callbacks: dict[str, int]
    callbacks_at_least: list[str]
    letters: dict[str, int]
    letters_at_least: list[str]
    workers: list[WorkerView]
    pauses: list[PauseView]


class OperationView(TypedDict):
    """A cancel or retry of many tasks, and how far it is."""

    operation: str
    kind: str
    queue: str
    asked: dict[str, Any]
    spread_s: float
    state: str
    tasks: int
    collected: bool
    done: NotRequired[int]
    outcomes: NotRequired[dict[str, int]]  # tasks by what came of them; `open` is still to be done
    created_at: str
    ended_at: str | None
    starts_until_at: str


class SteeredTask(TypedDict):
    """One task of an operation; no outcome where it is still to be done."""

    task_id: str
    outcome: str | None


class QueueView(TypedDict):
    """What waits in a work queue and behind it; None is what the broker cannot tell."""

    queue: str
    exists: bool
    ready: int
    unsettled: int | None
    consumers: int | None
    delayed: dict[str, int]  # messages by the seconds of their delay queue
    dead: int
    dead_letter_queue: str


class LetterView(TypedDict):
    """One dead letter of a list."""

    task_id: str | None
    message_id: str | None
    task_type: str | None
    reason: str | None
    attempts: int | None
    queue: str | None
    time: str | None
    bytes: int
    task_status: NotRequired[str | None]  # of its task, now


class LetterInFull(LetterView):
    """With its properties and its body: as text where it is text, and always byte for byte."""

    properties: dict[str, Any]
    body: str | None
    body_base64: str
