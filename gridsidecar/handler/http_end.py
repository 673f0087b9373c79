"""How an attempt on a server ended, where no message says it: by the answer, or by the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.http_output import HttpOutput
from gridsidecar.handler.outcome import Classified, ProcessEnd, classify
from gridsidecar.rules.task import CannotStart, Displaced, ErrorType, Failed
from gridsidecar.wire.strict_json import JsonRefused

if TYPE_CHECKING:
    from gridsidecar.outbound.http_exchange import Head

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
TEXTS = ("text/plain", "")  # what may be any text
_NOT_THERE = {
    404: "it knows no such path; correct `url`",
    503: "it is not ready; tasks wait until it is",
}
_QUOTED = 200  # characters of an answer that is no error by itself


def by_answer(head: Head, output: HttpOutput, settings: HandlerSettings, where: str) -> Classified:
    """Of an answer that is complete, as far as it can be told, and says no end."""
    if head.status in _NOT_THERE:
        return Classified(CannotStart(f"{where} answers {_status(head, output)}: {_NOT_THERE[head.status]}"))
    if not 200 <= head.status < 300:
        hint = "; no redirect is followed: let `url` be where it leads" if 300 <= head.status < 400 else ""
        return _failed(_status(head, output) + hint)
    if head.coding:
        return _failed(f"its answer is packed ({head.coding}), which the request did not allow: leave it as it is")
    if output.lost_message:
        return classify(ProcessEnd(exit_code=0, lost_message=True), settings)
    if output.has_messages or head.kind in LINES:
        return _failed("its answer ended without a result or an error")
    return _by_value(head, output, settings)


def is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _by_value(head: Head, output: HttpOutput, settings: HandlerSettings) -> Classified:
    try:
        value = output.answer()
    except JsonRefused as refused:
        if refused.reason != "not-json" or is_json(head.kind):
            return _failed(f"its answer cannot be read as JSON ({refused.detail}): {output.beginning[:_QUOTED]}")
        if head.kind not in TEXTS:  # a login page, a proxy's: nobody did the task
            return _failed(
                f"its answer is {head.kind[:_QUOTED]}, neither JSON nor messages nor text/plain; correct `url`, or what"
                f" answers there: {output.beginning[:_QUOTED]}"
            )
        value = None
    whole = head.framed or (value is not None and isinstance(value.value, dict | list))
    if not whole:
        return _failed(
            "nothing tells whether its answer is complete: it has to have a Content-Length, be sent in chunks, or end "
            "with a result message"
        )
    return classify(ProcessEnd(exit_code=0, output=value), settings)


def broken_off(error: str, together: int) -> Failed | Displaced:
    """`together`: tasks whose connections ended at the same time, as those of a server that ends do."""
    if together > 1:
        return Displaced(
            error=f"with {together} tasks at once: {error}", error_type=ErrorType.HANDLER_EXIT, suspect=True
        )
    return Failed(error=error, error_type=ErrorType.HANDLER_EXIT)


def _status(head: Head, output: HttpOutput) -> str:
    return f"HTTP {head.status}: {output.beginning}" if output.beginning else f"HTTP {head.status}"


def _failed(error: str) -> Classified:
    return Classified(Failed(error=error, error_type=ErrorType.HANDLER_ERROR))
