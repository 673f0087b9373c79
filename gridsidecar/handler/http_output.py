"""What a server says in its answer: messages, line by line, or one value."""

from __future__ import annotations

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText, text_of
from gridsidecar.handler.oneshot_output import OneshotOutput
from gridsidecar.handler.outcome import StdoutResult
from gridsidecar.rules.task import Claim
from gridsidecar.wire.strict_json import JsonRefused, parse_json

SHOWN_BYTES = 2048  # of an answer that is an error


class HttpOutput(OneshotOutput):
    """The answer is read as the stdout of a command is. Only where no line is a message, it may be a value."""

    def __init__(
        self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None = None
    ) -> None:
        super().__init__(settings, claim, on_progress, log)
        self._is_the_result = settings.result_from == "stdout"
        self._beginning = b""
        self._passed_over = False  # a message that could not count

    def take(self, data: bytes) -> None:
        if len(self._beginning) < SHOWN_BYTES:
            self._beginning += data[: SHOWN_BYTES - len(self._beginning)]
        if not (self._is_the_result or self.has_messages):
            self._output_size += len(data)
            if self._output_size <= self._limit:
                self._output += data
        self.take_stdout(data)

    def ignore(self, reason: str) -> None:
        super().ignore(reason)
        self._passed_over = True

    @property
    def has_messages(self) -> bool:
        """Whether it is one of those answers that end with a message."""
        return self._stdout.used or self._passed_over

    @property
    def beginning(self) -> str:
        """For people, on one line."""
        return " ".join(text_of(self._beginning).split())

    def answer(self) -> StdoutResult:
        """The result, where there are no messages: the JSON value that the answer is; or, where the answer is to be the
        result, whatever text it is. Raises JsonRefused."""
        if self._is_the_result or self._output_size > self._limit:
            return self.output()
        if not self._output.strip():
            return StdoutResult(None, 0)
        try:
            return StdoutResult(parse_json(self._output.decode()), self._output_size)
        except UnicodeDecodeError:
            raise JsonRefused("not-json", "not UTF-8") from None
