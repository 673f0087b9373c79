"""`gridsidecar exec`: one task through a handler, without broker and store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.config_options import ConfigFile, command_flag
from gridsidecar.cli.result_buffer import ResultBuffer
from gridsidecar.cli.task_line import duration
from gridsidecar.cli.terminal import json_text, repeat, say
from gridsidecar.errors import EX_CONFIG, EX_FAILED, EX_INTERRUPTED, EX_OK, EX_RETRY, UsageError
from gridsidecar.language.failures import told_of
from gridsidecar.language.quoting import theirs
from gridsidecar.runtime import signals

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings
    from gridsidecar.handler import Stop
    from gridsidecar.rules.task import Claim, Ended, Progress, Task, Transition

ECHOED = "[ignored: task echoed]"
RESULT_TYPED = 'print {"gs":1,"type":"result","result":…}, or set result_from: stdout for it to be the result'
LONGEST_LINE = 64 * 1024  # bytes of a line without an end; then it is told in pieces

CONTEXT = {"allow_interspersed_args": False}  # what follows is the handler's command
EPILOG = """
Examples:

gridsidecar exec --data '{"n": 21}' -- jq -c '{gs:1,type:"result",result:(.data.n*2)}'

gridsidecar exec --type resize --data @task-data.json

gridsidecar exec --task failed-task.json --attempt 3

-- CMD takes the place of the configured handlers; of the default one in a file that -c names it replaces the command
only.

Exit codes: 0 success, 1 failed for good, 64 usage, 75 would be retried, 78 configuration or the command cannot be
started, 130 Ctrl-C.
"""


def execute(
    command: Annotated[
        list[str] | None, typer.Argument(help="The handler, instead of a configured one: -- CMD ARGS...", metavar="CMD")
    ] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="task_type; chooses the handler.")] = None,
    data: Annotated[str | None, typer.Option(help="The task's data: JSON, @FILE, or - for stdin.")] = None,
    task: Annotated[str | None, typer.Option(help="A file with a whole task message, or - for stdin.")] = None,
    attempt: Annotated[
        int, typer.Option(help="Run it as this attempt: later ones have fewer retries left.", min=1)
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole outcome, not only the result.")] = False,
    config: ConfigFile = None,
) -> None:
    """Run one task through a handler, here and now: no broker, no store, nothing is kept.

    Progress, log events and stderr go to stderr as they arrive; the result is JSON on stdout. The exit code says what a
    worker would do next.
    """
    from gridsidecar.cli.context import load_parts
    from gridsidecar.wire.new_task import BadTask, make_task

    fields = task_fields("exec", task, task_type, data)
    settings = load_parts(config, "handlers", flags=command_flag(command, config))
    try:
        made = make_task(fields, settings.broker.max_message_bytes)
    except BadTask as bad:
        raise UsageError(str(bad)) from None
    name = handler_name(settings, "default" if command else made.task_type)
    raise typer.Exit(asyncio.run(_Run(settings, name, made, attempt, as_json).run()))


def handler_name(settings: Settings, task_type: str) -> str:
    """Which of the configured handlers takes tasks of this type. UsageError where none does."""
    name = task_type if task_type in settings.handlers else "default"
    if name not in settings.handlers:
        raise UsageError(f"no handler for task type {task_type!r}; there are {', '.join(settings.handlers)}")
    return name


def task_fields(task_id: str, task: str | None, task_type: str | None, data: str | None) -> dict[str, Any]:
    """What the options say of a task; `task_id` is for one that has none."""
    from gridsidecar.cli.submit import read_data
    from gridsidecar.cli.task_sources import read_all
    from gridsidecar.wire.fields import shown
    from gridsidecar.wire.strict_json import JsonRefused, parse_json

    fields: Mapping[str, Any] = {"task_id": task_id}
    if task is not None:
        try:
            fields = parse_json(read_all(task))
        except JsonRefused as refused:
            raise UsageError(f"--task is not JSON: {refused.detail}") from None
        if not isinstance(fields, dict):
            raise UsageError(f"--task must be a JSON object, not {shown(fields)}")
        if fields.get("task_id") is None:
            say(f"--task has no task_id, so that a worker would refuse this message; here its task_id is {task_id}")
            fields = {**fields, "task_id": task_id}
    given = {"task_type": task_type, "data": None if data is None else read_data(data)}
    return {**fields, **{name: value for name, value in given.items() if value is not None}}


class _Run:
    """One attempt, told on stderr while it goes on."""

    def __init__(self, settings: Settings, name: str, task: Task, attempt: int, as_json: bool) -> None:
        self._settings = settings
        self._handler = settings.handlers[name]
        self._name = name
        self._task = task
        self._attempt = attempt
        self._as_json = as_json
        self._unfinished: dict[str, bytes] = {}  # by source: a line whose end has not come yet
        self._answer = ResultBuffer(self._tell_lines) if self._handler.mode == "http" else None
        self._printed = bytearray()  # that was no event: its beginning

    async def run(self) -> int:
        """The exit code."""
        from gridsidecar import telemetry
        from gridsidecar.clock import SystemClock, system_random
        from gridsidecar.config.settings import retry_policy
        from gridsidecar.handler import Stop, make_handlers, reaper
        from gridsidecar.handler.capture import LogText
        from gridsidecar.rules.lifecycle import decide

        telemetry.free_stderr()  # its reader may rest, but no timeout and no signal waits for that
        policy = retry_policy(self._settings.retry, self._handler)
        claim = self._claim(policy.max_retries)
        stop = Stop()
        reaper.become_subreaper()
        reaper.hide_from_children()
        self._listen(stop)
        handler = make_handlers({self._name: self._handler}, SystemClock())[self._name]
        ended = await handler.run(claim, self._tell_progress, stop, LogText(on_text=self._tell_text))
        await handler.close(asyncio.Event())
        await reaper.finish()
        max_crashes = self._settings.worker.max_crashes
        transition = decide(claim, ended.outcome, policy, system_random(), max_crashes=max_crashes)
        assert transition is not None, "nobody else can own this attempt"
        self._tell_rest(transition)
        telemetry.finish()  # on a terminal the result comes below all that
        return self._conclude(ended, transition)

    def _claim(self, max_retries: int) -> Claim:
        from gridsidecar.rules.task import Claim

        asked = self._task.max_retry_count
        return Claim(
            task=self._task,
            attempt=self._attempt,
            worker_id="exec",
            max_retry_count=max_retries if asked is None else asked,
            retry_count=self._attempt - 1,
        )

    def _listen(self, stop: Stop) -> None:
        from gridsidecar.handler import StopReason

        def leave(*_: object) -> None:
            if stop.reason is not None:
                stop.hurry()
            stop.request(StopReason.SHUTDOWN)

        signals.obey(leave)
        for number in signals.leaving():
            asyncio.get_running_loop().add_signal_handler(number, leave)

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _tell_text(self, text: bytes, source: str) -> None:
        if source == "stdout" and self._handler.result_from == "stdout":
            return  # it is the result, and will be printed as such
        if self._answer is None:
            self._printed += text[: LONGEST_LINE - len(self._printed)] if source != "stderr" else b""
            self._tell_lines(text, source)
        elif source == "stdout":
            self._answer.take(text)
        else:
            self._answer.release()
            self._tell_lines(text, source)

    def _tell_progress(self, progress: Progress) -> None:
        if self._answer is not None:
            self._answer.release()
        figure = "" if progress.percent is None else f"{progress.percent:3.0f} %"
        if told := "  ".join(part for part in (figure, progress.message) if part):  # a checkpoint says neither
            repeat(told)

    def _tell_lines(self, text: bytes, source: str = "stdout") -> None:
        *lines, rest = (self._unfinished.pop(source, b"") + text).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._unfinished[source] = rest
        for line in lines:
            _tell_line(line)

    def _tell_rest(self, transition: Transition) -> None:
        if self._answer is not None:
            self._answer.end(transition)
        for line in filter(None, self._unfinished.values()):
            _tell_line(line)

    # -- at the end ---------------------------------------------------------------------------------------------------

    def _conclude(self, ended: Ended, transition: Transition) -> int:
        from gridsidecar.rules.task import CannotStart, Interrupted, Status

        if self._as_json:
            print(json_text(_summary(ended, transition)), flush=True)
        elif transition.status is Status.SUCCESS:
            print(json_text(transition.result), flush=True)
        say(_end_line(ended, transition))
        if transition.status is Status.SUCCESS and transition.result is None and _holds_json(bytes(self._printed)):
            say(f"the result is null, though there was JSON on stdout, which is no event: {RESULT_TYPED}")
        if isinstance(ended.outcome, CannotStart):
            return EX_CONFIG
        if isinstance(ended.outcome, Interrupted):
            return EX_INTERRUPTED
        if transition.status is Status.SUCCESS:
            return EX_OK
        return EX_FAILED if transition.status.terminal else EX_RETRY


def _tell_line(line: bytes) -> None:
    repeat("  " + line.decode("utf-8", "replace").rstrip("\r").expandtabs())


def _holds_json(printed: bytes) -> bool:
    """Whether it is JSON as a whole or in its last line; the task itself counts, as `cat` gives it back."""
    from gridsidecar.wire.strict_json import JsonRefused, parse_json

    text = printed.decode("utf-8", "replace").strip()
    for each in (text, text.rpartition("\n")[2]):
        if each == ECHOED:
            return True
        with suppress(JsonRefused):
            parse_json(each)
            return True
    return False


def _summary(ended: Ended, transition: Transition) -> dict[str, Any]:
    return {
        "status": transition.status,
        "outcome": transition.outcome,
        "result": transition.result,
        "error": transition.error,
        "error_type": transition.error_type,
        "last_error_type": transition.last_error_type,
        "traceback": transition.traceback,
        "retry_in_s": transition.delay if transition.status == "retrying" else None,
        "duration_s": round(ended.report.duration_s, 3),
        "exit_code": ended.report.exit_code,
        "signal": ended.report.signal,
        "cpu_s": ended.report.cpu_s,
        "peak_rss_bytes": ended.report.peak_rss_bytes,
        "notes": list(ended.report.notes),
    }


def _end_line(ended: Ended, transition: Transition) -> str:
    """How it ended and what a worker would do next, in one line."""
    from gridsidecar.rules.task import CannotStart, Interrupted, Status

    took = duration(ended.report.duration_s)
    of_type = transition.last_error_type or transition.error_type
    error = told_of(transition.error or "", of_type, began=True)
    kind = ": ".join(part for part in (theirs(transition.error_type or ""), error) if part)
    match transition.status:
        case Status.SUCCESS:
            return f"success in {took}"
        case Status.RETRYING:
            return f"failed in {took}, would be retried in {duration(transition.delay or 0.0)}: {kind}"
        case Status.FAILED:
            return f"failed for good in {took}: {kind}"
        case _ if isinstance(ended.outcome, CannotStart):
            return f"cannot start: {error}"
        case _ if isinstance(ended.outcome, Interrupted):
            return f"interrupted after {took}"
        case _:
            return f"{transition.status} after {took}"
