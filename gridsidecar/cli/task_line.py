"""One task's state in a few words, for a line or beside a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import clean
from gridsidecar.cli.times import local_time
from gridsidecar.language.failures import told_of, tripped
from gridsidecar.language.quoting import theirs
from gridsidecar.rules.task import Status

if TYPE_CHECKING:
    from gridsidecar.views import AttemptView, PausedView, PauseView, TaskState

_TERMINAL = {status.value for status in Status if status.terminal}
STYLES = {
    "queued": "dim",
    "pending": "dim",
    "running": "cyan",
    "retrying": "yellow",
    "success": "green",
    "failed": "red",
    "cancelled": "magenta",
}


def status_of(view: TaskState | None) -> str:
    """The task's status; `queued` while nobody has taken it from the queue, so that it has no row yet."""
    return "queued" if view is None else str(view["status"])


def ended(view: TaskState | None) -> bool:
    return view is not None and view["status"] in _TERMINAL  # another program may have written any status


def succeeded(view: TaskState | None) -> bool:
    return view is not None and view["status"] == Status.SUCCESS


def percent(view: TaskState | None) -> int:
    return 0 if view is None else max(0, min(100, int(view["progress"] or 0)))


def words(view: TaskState | None) -> str:
    """What happens with the task right now, on one line, for `translated`."""
    status = status_of(view)
    if view is None:
        return status
    match status:
        case "running":
            again = f"attempt {view['attempt']}" if view["attempt"] > 1 else ""
            return ", ".join(part for part in (theirs(clean(view["progress_message"] or "")), again) if part) or status
        case "retrying":
            return ": ".join(part for part in (paused(view) or f"retry {due(view)}", error_line(view)) if part)
        case "pending" if view.get("paused"):
            return paused(view)
        case "pending":
            return f"starts {due(view)}" if view["due_in_s"] else "waiting"
        case "failed":
            return f"failed: {error_line(view)}"
        case _:
            return status


def paused(view: TaskState) -> str:
    """Until when the pause of its type keeps it; empty where none does."""
    pause = view.get("paused")
    return f"paused {until(pause)}" if pause else ""


def until(pause: PausedView | PauseView) -> str:
    """When a pause may be over."""
    if pause["until_at"] is None:
        return "until resumed"
    return f"{'by a breaker, tried at' if pause['cool_down'] else 'until'} {local_time(pause['until_at'])}"


def reason_of(pause: PausedView | PauseView) -> str:
    """Why somebody, or a breaker, paused a type, for `translated`."""
    reason = clean(pause["reason"] or "")
    return tripped(reason) if pause["cool_down"] else theirs(reason)


def due(view: TaskState) -> str:
    """When it runs next."""
    seconds = view["due_in_s"]
    return f"in {duration(seconds)}" if seconds else "now"


def error_line(view: TaskState) -> str:
    """Type and text of the last error, on one line, for `translated`: what its handler said is marked."""
    last = f" ({clean(view['last_error_type'])})" if view["last_error_type"] else ""
    return _error_words(view, view["last_error_type"] or view["error_type"], last)


def attempt_error(view: AttemptView) -> str:
    """The same of one attempt."""
    return _error_words(view, view["error_type"])


def _error_words(view: TaskState | AttemptView, of_type: str | None, last: str = "") -> str:
    kind = theirs(clean(view["error_type"] or "") + last)
    error = told_of(clean(view["error_message"] or ""), of_type, began=view["attempt"] > 0)
    return ": ".join(part for part in (kind, error) if part)


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def span(seconds: int) -> str:
    """A round number of seconds in its largest unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
