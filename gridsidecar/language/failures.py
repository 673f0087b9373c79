"""Whose words the error of a task is: which sentences are ours, by the type of the error, and what in them is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from gridsidecar.language.quoting import theirs

_PLACES = {
    "n": r"[\d.,e+-]+",
    "word": r"\S+",
    "signal": r"(?:SIG\w+|signal \d+)",
    "ours": r".*?",  # sentences of ours
    "theirs": r"(.*)",
}
_PLACE = re.compile(r"\{(\w+)\}")
_FAILED = "task-failed: "
_LETTER = re.compile(rf"{_FAILED}(.*?)(?: \((.*?)\))?: (.*)", re.DOTALL)
_TRIPPED = re.compile(r"(\d+ failed attempts in a row, the last: )(?:(.*?): )?(.*)", re.DOTALL)
_NO_RETRY = " (no retry, as max_retries is 0)"

_UNREADABLE = (
    "its {word} cannot be read ({ours}): {theirs}",
    "it sent a result or an error without task_id: a process that takes one task after the other must say in each "
    "message which task it is about",
)
_KILLED = (
    "killed by {signal}",
    "killed by {signal} (not by us; the machine or container may have run out of memory, or a limit was reached)",
    "killed by {signal} (it used up its limit of CPU time, `limits.cpu_seconds`)",
)
_WITH_OTHERS = (
    "its process ended with {n} tasks: exit status {n}",
    "its process ended with {n} tasks: exit status {n}: {theirs}",
    "its process ended with {n} tasks: killed by {signal}",
    "its process ended with {n} tasks: killed by {signal}: {theirs}",
    "its process ended with {n} tasks: it closed its end of a pipe",
    *(f"its process ended with {{n}} tasks: {words}" for words in _UNREADABLE),
)
_CONNECTION = (
    "{word} closed the connection before its answer was complete",
    "{word} closed the connection before its answer was complete ({ours})",
    "{word} answered with something that is not HTTP: {theirs}",
    "{word} did not accept a connection within {n} s",
    "{word} could not be reached: {ours}",
    "{word} cannot be resolved: {ours}",
)
_BROKEN_OFF = (*_CONNECTION, *(f"with {{n}} tasks at once: {words}" for words in _CONNECTION))


def _followed(ends: Sequence[str], *more: str) -> Iterator[str]:
    """How an attempt ended, and what was heard of its handler beside that."""
    for end in ends:
        yield from (f"{end}; {words}" for words in more)  # before an end of which `ours` takes all that follows
        yield end


SENTENCES: dict[str, tuple[str, ...]] = {
    "TimeoutError": (*_followed(["timed out after {n} s"], "then it said: {theirs} ({theirs})", *_UNREADABLE),),
    "Stalled": (*_followed(["no message and no output for {n} s"], "then it said: {theirs} ({theirs})", *_UNREADABLE),),
    "HandlerExit": (
        *_WITH_OTHERS,
        "it closed its end of a pipe before it sent a result",
        *_followed(["exit status {n}", "it ended (exit status 0) before it sent a result"], *_UNREADABLE),
        *_followed(_BROKEN_OFF, "{theirs}"),
    ),
    "HandlerSignal": (
        *_WITH_OTHERS,
        *_followed(_KILLED, *_UNREADABLE),
        *(f"{words}: {{theirs}}" for words in _KILLED),
    ),
    "HandlerError": (
        *_UNREADABLE,
        *_CONNECTION,
        "The handler reported an error without a text.",
        "the result has {n} bytes, more than max_result_bytes ({n}): store it elsewhere and send a reference",
        "a message of more than 4 MiB was discarded, and no result came: store large results elsewhere and send a "
        "reference",
        "HTTP {n}; no redirect is followed: let `url` be where it leads",
        "HTTP {n}: {theirs}; no redirect is followed: let `url` be where it leads",
        "its answer is packed ({theirs}), which the request did not allow: leave it as it is",
        "its answer ended without a result or an error",
        "its answer cannot be read as JSON ({ours}): {theirs}",
        "its answer is {theirs}, neither JSON nor messages nor text/plain; correct `url`, or what answers there: "
        "{theirs}",
        "nothing tells whether its answer is complete: it has to have a Content-Length, be sent in chunks, or end with "
        "a result message",
        "the database cannot store what the handler sent: {theirs}",
    ),
    "OutOfMemory": ("killed for lack of memory: give the container more, or let the handler use less",),
    "StartFailed": (
        "handler {word}: {ours}; on stderr it said: {theirs}",
        "handler {word}: {word} answers HTTP {n}: {theirs}: it knows no such path; correct `url`",
        "handler {word}: {word} answers HTTP {n}: {theirs}: it is not ready; tasks wait until it is",
        "handler {word}: {ours}",
    ),
    "Cancelled": ("cancelled on request",),
    "WorkerLost": (
        "its worker died {n} times while it ran (worker.max_crashes is {n}), the last time on {theirs}",
        "interrupted {n} times by shutdowns of its worker",
    ),
    "": ("the database refuses the end of attempt {n}: {theirs}",),
}
_REFUSED = "ValidationError"


def told_of(error: str, error_type: str | None, *, began: bool) -> str:
    """The error of a task or an attempt, with what others said in it marked; for a translator. `began`: an attempt of
    the task did, so that its handler may have spoken."""
    if not began and error_type == _REFUSED:
        return error  # nobody but us has seen it
    if error.endswith(_NO_RETRY):
        return told_of(error.removesuffix(_NO_RETRY), error_type, began=began) + _NO_RETRY
    for sentence in SENTENCES.get(error_type or "", ()):
        if match := _pattern(sentence).fullmatch(error):
            return "".join(_marked(error, match.regs[1:]))
    return theirs(error)


def tripped(reason: str) -> str:
    """The same of why a breaker paused a type."""
    match = _TRIPPED.fullmatch(reason)
    if match is None:
        return theirs(reason)
    before, kind, error = match.groups()
    return before + (f"{theirs(kind)}: {told_of(error, kind, began=True)}" if kind else theirs(error))


def in_letter(reason: str) -> str:
    """The same of the dead letter of a task that failed."""
    match = _LETTER.fullmatch(reason)
    if match is None:
        return theirs(reason)
    kind, last, error = match.groups()
    before = reason[len(_FAILED) : match.start(3)].removesuffix(": ")
    return f"{_FAILED}{theirs(before)}: {told_of(error, last or kind, began=True)}"


def _marked(text: str, quotes: Sequence[tuple[int, int]]) -> Iterator[str]:
    at = 0
    for start, end in quotes:
        if start >= 0:
            yield text[at:start]
            yield theirs(text[start:end])
            at = end
    yield text[at:]


@lru_cache(1024)
def _pattern(sentence: str) -> re.Pattern[str]:
    pieces = _PLACE.split(sentence)  # words and names of places in turn
    return re.compile("".join(_PLACES[p] if i % 2 else re.escape(p) for i, p in enumerate(pieces)), re.DOTALL)
