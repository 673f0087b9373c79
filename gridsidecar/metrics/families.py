"""Every metric that there is: its name, what it counts, its labels. No label has values that grow with the work."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

SECOND_TO_HOURS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 21600)
WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
STARTS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Family(Struct, frozen=True, kw_only=True):
    """`buckets` are upper bounds in seconds. `greatest`: of several processes the greatest counts, not the sum."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    greatest: bool = False


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"gridsidecar_{name}", kind="counter", help=text, labels=labels)


def _gauge(name: str, text: str, *labels: str, greatest: bool = False) -> Family:
    return Family(name=f"gridsidecar_{name}", kind="gauge", help=text, labels=labels, greatest=greatest)


def _histogram(name: str, text: str, buckets: tuple[float, ...]) -> Family:
    labels = ("queue", "handler")
    return Family(name=f"gridsidecar_{name}", kind="histogram", help=text, labels=labels, buckets=buckets)


ATTEMPTS = _counter("attempts_total", "Attempts that ended.", "queue", "handler", "outcome")
ENDED = _counter("tasks_ended_total", "Tasks that came to their end.", "queue", "handler", "outcome", "error_class")
RETRIES = _counter("retries_total", "Attempts after which a retry was planned.", "queue", "handler")
DEAD_LETTERS = _counter("dead_letters_total", "Messages put on the dead-letter queue.", "queue")
RECONNECTS = _counter("reconnects_total", "Connections made again after one was lost.", "to")
ORPHANS = _counter("orphans_reaped_total", "Processes that outlived their handler and were cleaned up.")
CPU = Family(name="process_cpu_seconds_total", kind="counter", help="CPU time of the sidecar itself, without handlers.")

DURATION = _histogram("attempt_duration_seconds", "From a handler's start to its end.", SECOND_TO_HOURS)
WAIT = _histogram(
    "queue_wait_seconds",
    "From a message's arrival here until its handler, with its start hook, has its turn.",
    WAITS,
)
SPAWN = _histogram("spawn_seconds", "What it takes to start a handler's process.", STARTS)

RUNNING = _gauge("running", "Attempts that run.", "queue", "handler")
SLOTS = _gauge("slots", "Attempts that may run at a time.", "queue")
LAG = _gauge("loop_lag_seconds", "By how much the event loop was late, at worst, lately.", greatest=True)
NOT_READY = _gauge("not_ready", "Processes that take no tasks now, by what keeps them.", "reason")
MEMORY = Family(
    name="process_resident_memory_bytes", kind="gauge", help="Memory of the sidecar itself, without handlers."
)

WORKER = (
    *(ATTEMPTS, ENDED, RETRIES, DEAD_LETTERS, RECONNECTS, ORPHANS, CPU),
    *(DURATION, WAIT, SPAWN),
    *(RUNNING, SLOTS, LAG, NOT_READY, MEMORY),
)

# Of the whole fleet, from the servers.
MESSAGES = _gauge("queue_messages", "Messages in the broker.", "queue", "state")
OLDEST = _gauge("oldest_pending_seconds", "For how long the oldest task that is due has waited.", "queue")
CALLBACKS = _gauge("callbacks", "Callbacks that are owed, and those given up.", "state")
WORKERS = _gauge("workers", "Workers with a sign of life.", "queue")
PAUSED = _gauge("paused", "Handlers of whose tasks none may start.", "queue", "handler")
REACHABLE = _gauge("reachable", "Whether a server answered when it was asked for these figures.", "server")
FLEET_ENDED = _counter(
    "fleet_tasks_ended_total",
    "Tasks that came to their end since this server started, of all workers, about three minutes late.",
    "queue",
    "outcome",
)

FLEET = (MESSAGES, OLDEST, CALLBACKS, WORKERS, PAUSED, REACHABLE, FLEET_ENDED)

FAMILIES = {family.name: family for family in (*WORKER, *FLEET)}
