"""The templates of a channel for notices: whether they can be read, and whom they may name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gridsidecar.config.addresses import Allowed
from gridsidecar.config.notices import NoticeSettings
from gridsidecar.config.template import TemplateError, parse
from gridsidecar.config.yaml_tree import KeyPath

_IN_ADDRESS = re.compile(r"[A-Za-z0-9#$&'*+/=^_`|~.@-]*")


def notice_template_problems(at: KeyPath, channel: NoticeSettings) -> Iterator[tuple[KeyPath, str]]:
    """A key, and what is wrong with it."""
    for key in ("subject", "text"):
        written = getattr(channel, key)
        if written is not None and (problem := _unreadable(written)) is not None:
            yield (*at, key), problem
    if channel.subject is not None and "\n" in channel.subject.strip():
        yield (*at, "subject"), "must be one line"
    for index, entry in enumerate(channel.to):
        if (problem := _receiver_problem(entry, channel)) is not None:
            yield (*at, "to", index), problem
    for index, entry in enumerate(channel.allow_to):
        try:
            Allowed.read([entry])
        except ValueError as error:
            yield (*at, "allow_to", index), f"must be a domain, *.domain or an address: {error}"


def _unreadable(written: str) -> str | None:
    try:
        parse(written)
    except TemplateError as error:
        return str(error)
    return None


def _receiver_problem(entry: str, channel: NoticeSettings) -> str | None:
    if (problem := _unreadable(entry)) is not None:
        return problem
    template = parse(entry)
    if not template.has_fields:
        return None
    if not all(map(_IN_ADDRESS.fullmatch, template.texts)):
        return "a template here must make one plain address, without a name or a list, as {callback_data.email} does"
    if not channel.allow_to:
        return "a task would say whom to write to: allow_to must say which domains or addresses it may name"
    return None
