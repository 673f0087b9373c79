"""Level 1: a handler that says messages, and bears what a sidecar may send it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gridsidecar.conformance.bench import Bench, wait_for_ready
from gridsidecar.conformance.handler_under_test import HandlerLine, HandlerUnderTest
from gridsidecar.conformance.level0 import ADDRESS, FLUSH, alike, told
from gridsidecar.conformance.lines import TYPES
from gridsidecar.conformance.run import Run, deciding_channel, fields_of, reason, shown
from gridsidecar.conformance.tolerated import problems
from gridsidecar.conformance.verdict import CheckResult, failed, inconclusive, not_applicable, passed, warning
from gridsidecar.language import counted
from gridsidecar.rules.task import Succeeded
from gridsidecar.wire import (
    Event,
    HeartbeatEvent,
    Ignored,
    LineSource,
    LogEvent,
    ProgressEvent,
    ReadyEvent,
    ResultEvent,
)

_TELLING_S = 0.5  # a run that is shorter says nothing about buffers
_AT_THE_END = 0.2  # of the run: what came there, all at once, was held back
_AT_ONCE_S = 0.05
_SOON_S = 0.3  # how long a handler gets to be at work, or to read its stdin
_BY_ITSELF = 0.8  # of the time that the task takes
_NO_MESSAGES = "it says no messages"
ONLY_DATA = "it reads only the data of its task"
MARK = 'a message on stdout is one line that starts with { and has "gs": 1 and a "type"'


def valid_messages(bench: Bench) -> CheckResult:
    run = bench.sample
    if run.discarded:
        return failed("a line of more than 4 MiB was discarded", "send a reference to what is large")
    wrong = [(line, reason(line)) for line in run.violations()]
    wrong += [(line, problem) for line in run.events for problem in problems(fields_of(line))]
    if wrong:
        line, why = wrong[0]
        return failed(f"{len(wrong)} wrong, the first: {why}: {shown(line)}", f"its form is in {_schema(line)}")
    return passed(f"{len(run.events)} valid") if run.events else not_applicable(_NO_MESSAGES)


def _schema(line: HandlerLine) -> str:
    kind = fields_of(line).get("type")
    return f"protocol/schema/v1/{kind if kind in TYPES else 'handler-message'}.json"


def task_ids(bench: Bench) -> CheckResult:
    run = bench.sample
    said = [line for line in run.lines if _speaks_of_a_task(line) and line.channel in _that_count(run)]
    wrong = [line for line in said if not _addressed(line, run.task_id, must=bench.mode == "persistent")]
    if not wrong:
        return passed(f"none of {len(said)} is about another task") if said else not_applicable(_NO_MESSAGES)
    advice = ADDRESS if bench.mode == "persistent" else "leave task_id and attempt out, or say those of the task"
    return failed(
        f"{len(wrong)} of {len(said)} messages are not about task {json.dumps(run.task_id)}, attempt 1; "
        f"the first: {shown(wrong[0])}",
        advice,
    )


def _speaks_of_a_task(line: HandlerLine) -> bool:
    if isinstance(line.heard, Ignored):
        return line.heard.reason.startswith("it names another")
    return isinstance(line.heard, Event) and not isinstance(line.heard, ReadyEvent)


def _that_count(run: Run) -> set[LineSource]:
    """Beside the events pipe, what looks like a message on stdout is none."""
    return {LineSource.EVENTS} if deciding_channel(run.events) is LineSource.EVENTS else set(LineSource)


def _addressed(line: HandlerLine, task_id: str, *, must: bool) -> bool:
    """Logs and heartbeats may always leave the id out."""
    fields = fields_of(line)
    default = None if must and not aside(line) else task_id
    return bool(fields.get("task_id", default) == task_id and fields.get("attempt", 1) == 1)


def aside(line: HandlerLine) -> bool:
    """It decides nothing."""
    return isinstance(line.heard, (LogEvent, HeartbeatEvent))


def near_misses(bench: Bench) -> CheckResult:
    if bench.prints_result:
        return not_applicable("all that it prints is its result")
    missed = bench.sample.near_misses()
    if not missed:
        return passed("no text looks like a message")
    line, why = missed[0]
    seen = f"{len(missed)} taken for log text, the first: {why}: {shown(line)}"
    if deciding_channel(bench.sample.events) is LineSource.EVENTS:
        return warning(seen, "no harm, if it was not meant for the sidecar; else send it to the events pipe")
    return failed(seen, MARK)


def own_types(bench: Bench) -> CheckResult:
    kinds = {str(fields_of(line).get("type")) for line in bench.sample.lines if isinstance(line.heard, Ignored)}
    strange = sorted(kind for kind in kinds - TYPES.keys() - {"task", "None"} if "." not in kind)
    if strange:
        return failed(f"unknown: {', '.join(strange)}", "put a dot into the name of a type of your own: acme.note")
    return passed("no unknown types")


def one_outcome(bench: Bench) -> CheckResult:
    terminal = bench.sample.terminal
    if len(terminal) > 1:
        return failed(
            f"{len(terminal)} terminal messages; the second: {shown(terminal[1])}",
            "say one result or one error for a task, and nothing after it",
        )
    if bench.sample.is_the_result:
        return passed("its answer is the result")
    return passed("one terminal message") if terminal else not_applicable("no result and no error; how it ends decides")


def clean_exit(bench: Bench) -> CheckResult:
    run = bench.sample
    if not run.terminal or run.exit is None:
        return not_applicable("no terminal message")
    if run.exit.code == 0:
        return passed("exit 0")
    return warning(f"{run.exit} after its terminal message, which decides", "exit 0 where the message says it all")


def progress_in_time(bench: Bench) -> CheckResult:
    run = bench.sample
    progress = run.of(ProgressEvent)
    if len(progress) < 2 or run.seconds < _TELLING_S:
        return not_applicable(
            f"{len(progress)} progress messages in {run.seconds:.2f} s do not tell",
            "to have it checked, give it a task that takes longer and tells of progress more than once",
        )
    first, spread = progress[0].at - run.began, progress[-1].at - progress[0].at
    if first < run.seconds * (1 - _AT_THE_END) or spread > _AT_ONCE_S:
        return passed(f"the first of {len(progress)} came after {first:.2f} of {run.seconds:.2f} s")
    seen = f"all {len(progress)} came at the end, after {first:.2f} of {run.seconds:.2f} s: "
    if progress[0].channel is LineSource.EVENTS:  # seldom in a buffer: often there is nothing to tell before
        return warning(f"{seen}were they held in a buffer?", "flush after each line, and say progress while it works")
    return failed(f"{seen}they were held in a buffer", FLUSH)


def unknown_fields(bench: Bench) -> CheckResult:
    if not bench.reads_task:
        return not_applicable(ONLY_DATA)
    advice = "ignore fields that you do not know"
    return like_the_sample(bench, bench.with_unknown_fields, "with unknown fields", advice)


def large_task(bench: Bench) -> CheckResult:
    if not bench.reads_task:
        return not_applicable(ONLY_DATA)
    advice = "read all of it, however long: many readers of lines stop at 64 KiB, many servers at a limit for bodies"
    return like_the_sample(bench, bench.with_large_task, "with a task of 1 MiB", advice)


def like_the_sample(bench: Bench, run: Run, what: str, advice: str) -> CheckResult:
    expected, found = bench.sample.outcome, run.outcome
    if expected is None:
        return inconclusive("the sample task has no outcome", "see above")
    if isinstance(found, Succeeded) or alike(found, expected):
        return passed(f"{what}: {told(found)}")
    return failed(f"{what}: {told(found)}; without: {told(expected)}", advice)


def result_size(bench: Bench) -> CheckResult:
    sizes = [line.heard.size for line in bench.sample.terminal if isinstance(line.heard, ResultEvent)]
    if (bench.prints_result or bench.sample.is_the_result) and not sizes:
        sizes = [bench.sample.printed]
    if not sizes:
        return not_applicable("it says no result")
    limit = bench.settings.max_result_bytes
    if sizes[0] <= limit:
        return passed(f"{sizes[0]:,} bytes of {limit:,}")
    return failed(f"{sizes[0]:,} bytes; {limit:,} are stored", "store it elsewhere and send a reference")


def stops(bench: Bench) -> CheckResult:
    """A handler that is at work, where its task takes long enough; else one that waits for its task."""
    claim, busy = bench.claim(), bench.sample.seconds > 2 * _SOON_S
    with bench.started(bench.mode, claim) as child:
        if bench.mode == "persistent":
            wait_for_ready(child, bench.limits.ready_timeout)
        if busy:
            child.send(bench.line(claim))
        if busy and bench.mode == "oneshot":
            child.close_stdin()
        sent = child.now
        if child.wait(lambda: child.exit, _SOON_S):
            return not_applicable(f"it ended before it was asked to ({child.exit})", "give it a task that takes longer")
        return _stopped(bench, child, sent if busy else None)


def _stopped(bench: Bench, child: HandlerUnderTest, sent: float | None) -> CheckResult:
    """`sent`: when its task was; None while it has none."""
    asked = child.now
    child.terminate()
    if not child.wait_for_exit(bench.limits.grace):
        return failed(
            f"it was still there {bench.limits.grace:g} s after SIGTERM",
            "end on SIGTERM: it is followed by SIGKILL; in a shell, `exec` the last command or pass the signal on",
        )
    gone = max(0.0, child.now - asked)
    if sent is not None and child.exit is not None and not child.exit.signal and by_itself(bench, child.now - sent):
        return not_applicable(f"gone {gone:.2f} s after SIGTERM, but its task was over by itself", longer(bench))
    return passed(f"gone {gone:.2f} s after SIGTERM")


def by_itself(bench: Bench, seconds: float) -> bool:
    """Whether a task that ended after so long did so because it was done, and not because it was asked to."""
    return seconds > _BY_ITSELF * bench.sample.seconds


def longer(bench: Bench) -> str:
    return f"to have it checked, give it a task of more than {bench.limits.grace:g} s, or a shorter --grace"


def leftovers(bench: Bench) -> CheckResult:
    left = bench.sample.leftovers
    if not left:
        return passed("none")
    return warning(f"it left running: {', '.join(left)}", "end or await what you start: the sidecar kills what is left")


def environment(bench: Bench) -> CheckResult:
    if isinstance(bench.sample.outcome, Succeeded):
        return passed("the short environment is enough")
    with_all = bench.run(bench.claim(), inherit=True)
    if isinstance(with_all.outcome, Succeeded):
        return failed(
            "it succeeds only with all variables of this shell",
            "name what it needs in `pass_env` or `env` of its configuration; here, set it in its command",
        )
    return passed("more variables would not help it")


def stray_output(bench: Bench) -> CheckResult:
    run = bench.sample
    if not _on_stdout(run.events):
        return passed("stdout carries no messages")
    stray = [line for line in run.text() if line.channel is LineSource.STDOUT and line.raw.strip()]
    if not stray:
        return passed("stdout carries messages alone")
    return warning(
        f"{counted(len(stray), 'line')} of other text between the messages on stdout, the first: {shown(stray[0])}",
        "send messages to the path in GRIDSIDECAR_EVENTS: then nothing that is printed can pass for one",
    )


def _on_stdout(events: Sequence[HandlerLine]) -> bool:
    return any(line.channel is LineSource.STDOUT for line in events)
