"""Whom the templates of `to` name, task by task, and who of them may be written to."""

from __future__ import annotations

from collections.abc import Sequence

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.config.addresses import LONGEST, Allowed, MailAddress
from gridsidecar.config.template import Path, Template
from gridsidecar.notify import truncation
from gridsidecar.notify.rendering import Facts

TELL_GAP = 60.0  # seconds between two log lines of one kind; the next one says how often it happened meanwhile


class Seldom:
    """How often something happened since it was last told, when it is time to tell it again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0.0
        self._count = 0

    def happened(self) -> int:
        """0: not now."""
        self._count += 1
        if self._next and self._clock.monotonic() < self._next:
            return 0
        self._next = self._clock.monotonic() + TELL_GAP
        return self.rest()

    def rest(self) -> int:
        """What was not told so far."""
        count, self._count = self._count, 0
        return count


class Receivers:
    """The templates of one channel. Whom they cannot name is told, and is nobody's error."""

    def __init__(self, channel: str, templates: Sequence[Template], allowed: Allowed, clock: Clock) -> None:
        self._channel = channel
        self._templates = templates
        self._allowed = allowed
        self._told_missing: set[str] = set()
        self._not_allowed = Seldom(clock)

    def named_by(self, facts: Facts) -> list[str]:
        """Addresses, each once."""
        found = (self._address(template, facts) for template in self._templates)
        return list(dict.fromkeys(address for address in found if address is not None))

    def _address(self, template: Template, facts: Facts) -> str | None:
        try:
            written = template.fill(lambda path: _piece(facts, path))
        except LookupError as error:
            self._tell_missing(template, facts, str(error))
            return None
        try:
            address = MailAddress.read(written)
            if self._allowed.takes(address):
                return str(address)
            problem = "notify[].allow_to has neither it nor its domain"
        except ValueError as error:
            problem = str(error)
        self._tell_not_allowed(template, facts, written, problem)
        return None

    def _tell_missing(self, template: Template, facts: Facts, reason: str) -> None:
        """Once for each template: that some tasks name nobody may well be meant."""
        if template.written in self._told_missing:
            return
        self._told_missing.add(template.written)
        telemetry.warning("a task names no receiver of its notice", **self._about(template, facts), reason=reason)

    def _tell_not_allowed(self, template: Template, facts: Facts, written: str, reason: str) -> None:
        if count := self._not_allowed.happened():
            to = truncation.line(written, 100)
            about = self._about(template, facts)
            telemetry.warning("a notice may not go to whom a task names", **about, to=to, reason=reason, count=count)

    def _about(self, template: Template, facts: Facts) -> dict[str, str]:
        return {"channel": self._channel, "template": template.written, "task_id": facts.update.task_id}


def _piece(facts: Facts, path: Path) -> str:
    """A text or a number as it is, line breaks and all: whatever is wrong with it must be seen. LookupError."""
    value = facts.value(path)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise LookupError(f"{{{'.'.join(path)}}} is missing, empty, or no text")
    return str(value)[: LONGEST + 1]
