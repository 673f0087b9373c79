"""What one line from a handler means: an event, plain text, something to count and ignore, or an end that is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.wire.events import READERS, ErrorEvent, Event, Ignored, LineSource, Text, Unreadable, read_error
from gridsidecar.wire.fields import shown, task_id_problem
from gridsidecar.wire.handler_input import PROTOCOL_VERSION, TASK_PREFIX
from gridsidecar.wire.strict_json import JsonRefused, parse_json
from gridsidecar.wire.top_level import TopLevel, last_values, top_levels

QUOTED = 100  # characters of a line that an error text quotes

_ENDS = ("error", "result")  # types that say how a task ended
_ADDRESSED = ("progress", "checkpoint", *_ENDS)
_READ = ("gs", "type", "task_id", "attempt", "error", "error_type", "retryable", "retry_after_s", "traceback")
_NO_CHARACTER = "\ufffd"
_WORDS = {"error": "an error", "result": "a result"}
_OTHER_TASK = "it names another task"
_OTHER_ATTEMPT = "it names another attempt"
_UNADDRESSED = (
    "it sent a result or an error without task_id: a process that takes one task after the other must say in each "
    "message which task it is about"
)
_TOO_LONG = "a line of more than 4 MiB: store large results elsewhere and send a reference"


class _About(Struct, frozen=True):
    """The task that the handler has, if it has one."""

    task_id: str | None
    attempt: int | None
    addressed: bool  # what decides something must name it


_NO_TASK = _About(None, None, False)
_SOME_TASK = _About("", None, True)  # one of several: a message must name it


def decode_event(
    line: bytes,
    channel: LineSource,
    *,
    task_id: str | None = None,
    attempt: int | None = None,
    addressed: bool = False,
) -> Event | Text | Ignored | Unreadable:
    """Never raises. `line` comes without its LF. An event of another task or attempt than the given one is ignored,
    and so is, with `addressed`, one that decides something and names no task; of an end that is Unreadable."""
    said = _parsed(line, channel)
    return _meant(said, _About(task_id, attempt, addressed)) if isinstance(said, _Said) else said


def decode_among(
    line: bytes, channel: LineSource, in_hand: Mapping[str, int]
) -> tuple[str | None, Event | Text | Ignored | Unreadable]:
    """The same for a process that has these tasks, each in this attempt; and which of them the line is about: its only
    one, or the one that it names; None where that is none of them."""
    said = _parsed(line, channel)
    task_id, about = _addressee(said.fields if isinstance(said, _Said) else {}, in_hand)
    return task_id, _meant(said, about) if isinstance(said, _Said) else said


def _addressee(fields: Mapping[str, Any], in_hand: Mapping[str, int]) -> tuple[str | None, _About]:
    if len(in_hand) == 1:
        ((task_id, attempt),) = in_hand.items()
        return task_id, _About(task_id, attempt, True)
    named = fields.get("task_id")
    if isinstance(named, str) and named in in_hand:
        return named, _About(named, in_hand[named], True)
    return None, _SOME_TASK if in_hand else _NO_TASK


class _Said(Struct, frozen=True):
    """A line that may be a message: its JSON, or what it claims to be where it has none."""

    value: Any
    text: str
    claim: _ClaimedEnd | None = None
    flaw: str | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        found = self.value if self.claim is None else self.claim.value
        return found if isinstance(found, dict) else {}


def _meant(said: _Said, about: _About) -> Event | Ignored | Unreadable:
    if said.claim is not None:
        return _end(said.claim, said.text, said.flaw, about)
    return _checked(said.value, said.text, about)


def _parsed(line: bytes, channel: LineSource) -> _Said | Text | Ignored:
    if line.startswith(TASK_PREFIX):  # `cat` is a handler, too: its task needs no parsing
        return Ignored("task echoed")
    raw = line[:-1] if line.endswith(b"\r") else line
    on_stdout = channel is LineSource.STDOUT
    if on_stdout and not raw.startswith(b"{"):
        return Text(raw.decode("utf-8", "replace"))
    try:
        text = raw.decode("utf-8")
        value = parse_json(text)
    except (UnicodeDecodeError, JsonRefused) as refused:
        return _unparsed(raw, refused, channel)
    if on_stdout and not (isinstance(value.get("type"), str) and _marks(value)):
        return Text(text)
    return _Said(value, text)


def decode_ends(
    head: bytes,
    tail: bytes,
    channel: LineSource,
    *,
    task_id: str | None = None,
    attempt: int | None = None,
    addressed: bool = False,
) -> Event | Ignored | Unreadable | None:
    """What a line was that was too long to be kept, by its beginning and its end; None where they do not tell its
    type."""
    said = _glimpsed(head, tail, channel)
    return _meant(said, _About(task_id, attempt, addressed)) if isinstance(said, _Said) else said


def decode_ends_among(
    head: bytes, tail: bytes, channel: LineSource, in_hand: Mapping[str, int]
) -> tuple[str | None, Event | Ignored | Unreadable | None]:
    """The same, like `decode_among`."""
    said = _glimpsed(head, tail, channel)
    task_id, about = _addressee(said.fields if isinstance(said, _Said) else {}, in_hand)
    return task_id, _meant(said, about) if isinstance(said, _Said) else said


def _glimpsed(head: bytes, tail: bytes, channel: LineSource) -> _Said | Ignored | None:
    text = head.decode("utf-8", "replace")
    objects = list(top_levels(_from_brace(text, channel)))
    if objects and not objects[-1].whole:
        objects[-1].written = last_values(tail.decode("utf-8", "replace")) | objects[-1].written
    if (claim := _claimed_end(objects, channel)) is not None:
        return _Said(None, text, claim, _TOO_LONG)
    if channel is LineSource.STDOUT and not (objects and "gs" in objects[0].written):
        return Ignored("no message")
    return Ignored("no result and no error") if objects and objects[0].read("type") is not None else None


# -- lines that are JSON ----------------------------------------------------------------------------------------------


def _marks(value: Mapping[str, Any]) -> bool:
    """Whether it is for us. Of an end the mark alone says so, whatever version it gives."""
    return _is_integer(value.get("gs")) or ("gs" in value and value["type"] in _ENDS)


def _checked(value: Any, text: str, about: _About) -> Event | Ignored | Unreadable:
    if not isinstance(value, dict):
        return Ignored("not a JSON object")
    kind, flaw = value.get("type"), _flaw_of_version(value)
    if isinstance(kind, str) and kind in _ENDS:
        return _end(_ClaimedEnd(kind, value), text, flaw, about)
    if flaw is not None:
        return Ignored(flaw)
    if not isinstance(kind, str):
        return Ignored("no type")
    if kind == "task":
        return Ignored("task echoed")
    if about.task_id is not None and value.get("task_id", about.task_id) != about.task_id:
        return Ignored(_OTHER_TASK)
    if about.addressed and kind in _ADDRESSED and "task_id" not in value:
        return Ignored(f"a {kind} that names no task")
    if about.attempt is not None and value.get("attempt", about.attempt) != about.attempt:
        return Ignored(_OTHER_ATTEMPT)
    read = READERS.get(kind)
    return read(value) if read is not None else Ignored(f"unknown type {shown(kind)}")


def _flaw_of_version(value: Mapping[str, Any]) -> str | None:
    version = value.get("gs", PROTOCOL_VERSION)
    if _is_integer(version) and version == PROTOCOL_VERSION:
        return None
    return f'protocol version {shown(version)} is not known: "gs" must be the number {PROTOCOL_VERSION}'


# -- results and errors -----------------------------------------------------------------------------------------------


class _ClaimedEnd(Struct, frozen=True):
    """A line that claims to say how a task ended, and what could be read of it."""

    kind: str  # result | error
    value: dict[str, Any]
    cut: bool = False  # the line ends before it does


def _end(claim: _ClaimedEnd, text: str, flaw: str | None, about: _About) -> Event | Ignored | Unreadable:
    if (other := _of_another(claim.value, about)) is not None:
        return Ignored(other)
    flaw = flaw or _flaw_of_address(claim.value, about)
    named = _named(claim.value, about)
    if flaw is not None:
        return _failure(claim, text, flaw, named, about)
    if about.addressed and named is None:
        return Unreadable(f"{_WORDS[claim.kind]} that names no task", ErrorEvent(_UNADDRESSED), claim.kind, None)
    return READERS[claim.kind](claim.value)


def _failure(claim: _ClaimedEnd, text: str, flaw: str, named: str | None, about: _About) -> Unreadable:
    """What the attempt fails with: an error's own words, where they are there; else that it cannot be read."""
    kind, own = claim.kind, False
    event = ErrorEvent(_printable(f"its {kind} cannot be read ({flaw}): {_beginning(text)}"))
    if kind == "error" and not _is_of_later_version(claim.value) and (named is not None or not about.addressed):
        own = claim.value.get("error") not in (None, "")
        told = read_error(claim.value)
        event = told if own else replace(told, error=event.error)
    return Unreadable(_printable(f"{_WORDS[kind]} that cannot be read: {flaw}"), event, kind, named, own)


def _of_another(value: Mapping[str, Any], about: _About) -> str | None:
    """Only what can be the id of a task, or the number of an attempt, can be that of another."""
    task_id, attempt = value.get("task_id", about.task_id), value.get("attempt", about.attempt)
    if about.task_id is not None and task_id != about.task_id and _is_task_id(task_id):
        return _OTHER_TASK
    if about.attempt is not None and attempt != about.attempt and _is_number(attempt) and attempt == int(attempt):
        return _OTHER_ATTEMPT
    return None


def _flaw_of_address(value: Mapping[str, Any], about: _About) -> str | None:
    for name, own in (("task_id", about.task_id), ("attempt", about.attempt)):
        if own is not None and name in value and value[name] != own:
            right = f"must be {shown(own)}" if own else "must name a task that it has"
            return f"{name} {right}, not {shown(value[name])}"
    return None


def _named(value: Mapping[str, Any], about: _About) -> str | None:
    task_id = value.get("task_id")
    named = _is_task_id(task_id) if about.task_id is None else task_id == about.task_id
    return task_id if named else None


def _is_task_id(value: Any) -> bool:
    return task_id_problem(value) is None and _NO_CHARACTER not in value


def _is_of_later_version(value: Mapping[str, Any]) -> bool:
    """Its fields may mean something else there."""
    version = value.get("gs", PROTOCOL_VERSION)
    return _is_integer(version) and version != PROTOCOL_VERSION


# -- lines that are no JSON -------------------------------------------------------------------------------------------


def _unparsed(raw: bytes, refused: UnicodeDecodeError | JsonRefused, channel: LineSource) -> _Said | Text | Ignored:
    text = raw.decode("utf-8", "replace")
    flaw = refused.detail if isinstance(refused, JsonRefused) else "not UTF-8"
    objects = list(top_levels(_from_brace(text, channel)))
    if (claim := _claimed_end(objects, channel)) is not None:
        if claim.cut:
            flaw = f"it is cut off after {len(raw):,} bytes: let all be written before the process ends"
        return _Said(None, text, claim, flaw)
    if channel is LineSource.EVENTS:
        return Ignored(flaw)
    is_json = isinstance(refused, JsonRefused) and refused.reason != "not-json"
    marked = bool(objects) and _is_integer(objects[0].read("gs")) and isinstance(objects[0].read("type"), str)
    return Ignored(flaw) if is_json and marked else Text(text)


def _claimed_end(objects: Iterable[TopLevel], channel: LineSource) -> _ClaimedEnd | None:
    """The first object of a line that claims to be an end. Where an object breaks off before its type, a key that
    only an end has tells it."""
    for found in objects:
        if channel is LineSource.STDOUT and "gs" not in found.written:
            continue
        kind = found.read("type")
        if kind is None and not found.whole:
            kind = next((each for each in _ENDS if each in found.written), None)
        if kind in _ENDS:
            return _ClaimedEnd(str(kind), _values(found), found.cut)
    return None


def _values(found: TopLevel) -> dict[str, Any]:
    values = {name: found.read(name) for name in _READ if name in found.written}
    if found.written.get("error", "").startswith(("{", "[")):
        values["error"] = found.written["error"]
    return values


def _from_brace(text: str, channel: LineSource) -> str:
    """The pipe carries nothing but messages: what some writers put before their first one hides none there."""
    return text.lstrip("\ufeff \t\r") if channel is LineSource.EVENTS else text


def _beginning(text: str) -> str:
    return text if len(text) <= QUOTED else text[:QUOTED] + "…"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else _NO_CHARACTER for char in text)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
