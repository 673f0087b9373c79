"""What a message for people says, line by line, in either language; how it looks is the channel's affair."""

from __future__ import annotations

from gridsidecar.language.failures import told_of
from gridsidecar.notify import truncation
from gridsidecar.notify.digest import GRAVITY, CountKey, Digest, Notice
from gridsidecar.notify.rendering import NoticeOrigin
from gridsidecar.notify.translations import Translations

Fact = tuple[str, str]  # label, value
LINES = 10  # kinds that are listed
SHORT = 200  # bytes of an error in a list
PARAGRAPH = 600  # bytes of a text of the operator's in a list
SHORT_ID = 120  # bytes of an id in a list


def headline(digest: Digest, words: Translations) -> str:
    """What happened, on one line."""
    if not digest.count:
        last = digest.breakers[-1]
        return (words.breaker_opened if last.opened else words.breaker_closed).format(type=last.task_type)
    if digest.count == 1:
        (notice,) = digest.notices
        if notice.refused:
            return words.refused
        return words.one.format(status=words.statuses[notice.status], type=notice.task_type)
    parts = (
        words.by_status.format(count=count, status=words.statuses[status]) for status, count in digest.statuses.items()
    )
    return words.many.format(count=digest.count, statuses=words.comma.join(parts))


def facts(notice: Notice, origin: NoticeOrigin, words: Translations) -> list[Fact]:
    """One task, without its error; a refused message has neither an id nor a type."""
    told = [
        (words.task, "" if notice.refused else notice.task_id or "–"),
        (words.type, "" if notice.refused else notice.task_type),
        *place(origin, words),
        (words.attempt, _attempts(notice, words)),
        (words.took, "" if notice.duration is None else _seconds(notice.duration)),
        (words.retry_in, "" if notice.retry_in is None else _seconds(notice.retry_in)),
        (words.time, f"{notice.moment:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    return [(label, value) for label, value in told if value]


def place(origin: NoticeOrigin, words: Translations) -> list[Fact]:
    """Where it happened."""
    return [(words.queue, truncation.line(origin.queue, 400)), (words.worker, truncation.line(origin.worker, 400))]


def error(notice: Notice, words: Translations) -> str:
    """Type and text of the error; empty where there is none."""
    if notice.error is None and notice.error_type is None:
        return ""
    kind = notice.error_type or words.error
    if notice.last_error_type:
        kind += f" ({notice.last_error_type})"
    of_type = notice.last_error_type or notice.error_type
    return f"{kind}: {_error_text(notice.error, of_type, words, began=bool(notice.attempt))}"


def trace(notice: Notice, words: Translations) -> Fact | None:
    """The traceback, or what the command wrote last."""
    if notice.traceback:
        return words.traceback, notice.traceback
    return (words.stderr, notice.stderr_tail) if notice.stderr_tail else None


def tally(digest: Digest, words: Translations) -> list[str]:
    """How often what happened, the gravest and then the most frequent first."""
    ranked = sorted(digest.kinds.most_common(), key=lambda entry: GRAVITY.index(entry[0].status))
    lines = [f"{count:,} × {_kind(kind, words)}" for kind, count in ranked[:LINES]]
    rest = sum(count for _, count in ranked[LINES:])
    return [*lines, f"{rest:,} × {words.others}"] if rest else lines


def first_tasks(digest: Digest, words: Translations) -> str:
    """The tasks that are known one by one, a line each; or a paragraph, where the operator has a text for them."""
    if any(notice.text is not None for notice in digest.notices):
        return "\n\n".join(truncation.head(notice.text or "", PARAGRAPH) for notice in digest.notices)
    return "\n".join(_short(notice, words) for notice in digest.notices)


def breakers(digest: Digest, words: Translations) -> list[str]:
    """Task types that were paused by a breaker, or go on."""
    return [
        words.breaker_opened_more.format(
            type=change.task_type,
            failures=change.failures,
            seconds=_seconds(change.cool_down),
            error=_error_text(change.error, change.error_type, words, began=True),
        )
        if change.opened
        else words.breaker_closed.format(type=change.task_type)
        for change in digest.breakers
    ]


def remarks(digest: Digest, words: Translations) -> list[str]:
    """What is missing from this message."""
    told = []
    if digest.more:
        told.append(words.more.format(count=digest.more))
    if digest.undelivered:
        told.append(words.undelivered.format(count=digest.undelivered))
    return told


def _error_text(error: str | None, error_type: str | None, words: Translations, *, began: bool) -> str:
    """Ours in the language of the log; what a handler said as it said it."""
    return words.translate(told_of(error, error_type, began=began)) if error else words.no_error


def _attempts(notice: Notice, words: Translations) -> str:
    if not notice.attempt:
        return ""
    if notice.attempts_allowed is None:
        return str(notice.attempt)
    return words.attempt_of.format(attempt=notice.attempt, allowed=notice.attempts_allowed)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds:,.0f} s"


def _kind(kind: CountKey, words: Translations) -> str:
    parts = (words.statuses[kind.status], kind.task_type or words.others, kind.error_type)
    return " · ".join(truncation.line(part, SHORT_ID) for part in parts if part)


def _short(notice: Notice, words: Translations) -> str:
    told = error(notice, words) or words.statuses[notice.status]
    name = words.refused if notice.refused else truncation.line(notice.task_id, SHORT_ID) or "–"
    return f"{name} · {truncation.line(told, SHORT)}"
