"""Level 2: a handler whose messages nothing that it prints can spoil, and one that stays for many tasks."""

from __future__ import annotations

import signal
from typing import Any

from gridsidecar import wire
from gridsidecar.conformance.bench import Bench, ended, wait_for_ready
from gridsidecar.conformance.handler_under_test import HandlerLine, HandlerUnderTest
from gridsidecar.conformance.level0 import ADDRESS, alike, misaddressed, told
from gridsidecar.conformance.level1 import MARK, ONLY_DATA, aside, by_itself, longer
from gridsidecar.conformance.run import deciding, deciding_channel, fields_of, names, shown, terminal_of
from gridsidecar.conformance.verdict import CheckResult, Verdict, failed, inconclusive, not_applicable, passed, warning
from gridsidecar.language import counted
from gridsidecar.rules.task import Claim, Succeeded
from gridsidecar.wire import CheckpointEvent, LineSource, ReadyEvent

_QUIET_S = 0.3  # how long a handler is listened to that should say nothing
TERMINATED = 128 + signal.SIGTERM  # the exit code of what SIGTERM ended
_AT_WORK_S = 0.3  # how long a handler gets to be at work
_NEVER_READY = "it never said ready"


def events_pipe(bench: Bench) -> CheckResult:
    if bench.channel == "stdout":
        return not_applicable("its configuration says where messages go")
    run = bench.sample
    on_stdout = [line for line in run.events if line.channel is LineSource.STDOUT]
    if on_stdout and deciding_channel(run.events) is LineSource.EVENTS:
        return warning(
            f"{counted(len(on_stdout), 'line')} on stdout in the form of messages, the first: {shown(on_stdout[0])}",
            "mind what is printed: beside the events pipe it decides nothing, but would where no pipe is offered",
        )
    if on_stdout:
        return failed(
            f"{counted(len(on_stdout), 'message')} on stdout, the first: {shown(on_stdout[0])}",
            "send messages to the path in GRIDSIDECAR_EVENTS: then no print of yours, or of others, can spoil them",
        )
    return passed("every message went there") if run.events else not_applicable("it says no messages")


def without_pipe(bench: Bench) -> CheckResult:
    if bench.prints_result or bench.channel != "auto":
        return not_applicable("its configuration says where messages go")
    if not bench.sample.events:
        return not_applicable("it says no messages")
    run = bench.run(bench.claim(), offer_events=False)
    known = {line.raw for line, _ in bench.sample.near_misses()}  # printed with a pipe as well: no messages
    if missed := [(line, why) for line, why in run.near_misses() if line.raw not in known]:
        line, why = missed[0]
        return warning(f"where no events pipe is offered, {len(missed)} are lost: {why}: {shown(line)}", MARK)
    if not run.events:
        return warning(
            f"where no events pipe is offered, it says no messages: {told(run.outcome)}",
            'send them to stdout then, each with "gs": 1: a container or ssh passes no pipe on',
        )
    if not alike(run.outcome, bench.sample.outcome) or bool(run.terminal) != bool(bench.sample.terminal):
        return warning(
            f"where no events pipe is offered, it ends otherwise: {told(run.outcome)}, "
            f"with {len(run.terminal)} terminal messages; with a pipe: {told(bench.sample.outcome)}, "
            f"with {len(bench.sample.terminal)}",
            "say on stdout, then, what you say on the pipe",
        )
    return passed(f"{counted(len(run.events), 'message')} on stdout")


def checkpoints(bench: Bench) -> CheckResult:
    said = bench.sample.of(CheckpointEvent)
    if not said:
        return not_applicable("it says no checkpoints")
    if not bench.reads_task:
        return not_applicable(ONLY_DATA)
    heard = said[-1].heard
    assert isinstance(heard, CheckpointEvent)
    run = bench.run(bench.claim(checkpoint=heard.data))
    again = _data(run.of(CheckpointEvent)[:1])
    if again and again == _data(said[:1]) != _data(said[-1:]):
        return warning(
            f"with the last of {len(said)} in run.checkpoint, it said the first again: {shown(said[0])}",
            "go on from run.checkpoint, not from the start",
        )
    if isinstance(run.outcome, Succeeded) or alike(run.outcome, bench.sample.outcome):
        return passed(f"with the last of {len(said)} in run.checkpoint: {told(run.outcome)}")
    return failed(
        f"with its own last checkpoint in run.checkpoint: {told(run.outcome)}", "take up again what you said before"
    )


def _data(lines: tuple[HandlerLine, ...]) -> list[Any]:
    return [fields_of(line).get("data") for line in lines]


# -- persistent mode --------------------------------------------------------------------------------------------------


def ready(bench: Bench) -> CheckResult:
    run = bench.sample
    if run.ready is None:
        return failed(_NEVER_READY, "say ready once tasks can come")
    if run.events[0] is not run.ready:
        return failed(f"before it came: {shown(run.events[0])}", "let ready be the first message")
    return passed(f"after {run.ready.at:.2f} s")


def one_channel(bench: Bench) -> CheckResult:
    run = bench.sample
    if run.ready is None:
        return inconclusive(_NEVER_READY, "see above")
    other = [line for line in run.events if line.channel is not run.ready.channel]
    if other:
        return failed(
            f"ready came on {run.ready.channel.value}, this not: {shown(other[0])}",
            f"stay on {'the events pipe' if run.ready.channel is LineSource.EVENTS else 'stdout'}",
        )
    return passed(f"all on {run.ready.channel.value}")


def two_tasks(bench: Bench) -> CheckResult:
    first, second = bench.claim(), bench.claim(number=2)
    with bench.started("persistent") as child:
        if wait_for_ready(child, bench.limits.ready_timeout) is None:
            return inconclusive(_NEVER_READY, "see above")
        for which, claim in (("first", first), ("second", second)):
            said = len(child.lines)
            if not _answered(bench, child, claim):
                return _unanswered(f"the {which} task", child, claim, said, "answer every task, and stay")
            child.wait(lambda: None, _QUIET_S)
            stray = _after_its_end(child.lines[said:], claim.task_id)
            if stray is not None:
                return failed(f"after the end of its task: {shown(stray)}", "say nothing more about a task that ended")
        return passed("both ended, with nothing after their ends")


def _unanswered(what: str, child: HandlerUnderTest, claim: Claim, since: int, advice: str) -> CheckResult:
    """`since`: lines that it had said before."""
    for line in deciding(child.lines)[-1:]:
        if line in child.lines[since:]:
            return failed(f"{what} got no answer: {misaddressed(line, claim.task_id)} [P3]", ADDRESS)
    return failed(f"{what} got no result and no error ({child.state})", advice)


def _answered(bench: Bench, child: HandlerUnderTest, claim: Claim, then: bytes = b"") -> bool:
    """`then` is sent right after the task."""
    child.send(bench.line(claim) + then)
    child.wait(lambda: ended(child, claim.task_id) or child.exit, bench.limits.timeout)
    return ended(child, claim.task_id) is not None


def _after_its_end(lines: list[HandlerLine], task_id: str) -> HandlerLine | None:
    end = next(i for i, line in enumerate(lines) if _ends(line, task_id))
    return next((line for line in lines[end + 1 :] if isinstance(line.heard, wire.Event) and not aside(line)), None)


def _ends(line: HandlerLine, task_id: str) -> bool:
    return terminal_of(line) is not None and names(line, task_id)


def unknown_messages(bench: Bench) -> CheckResult:
    claim = bench.claim()
    with bench.started("persistent") as child:
        if wait_for_ready(child, bench.limits.ready_timeout) is None:
            return inconclusive(_NEVER_READY, "see above")
        child.send(b'{"gs":1,"type":"later.message","value":1}\n')
        if not _answered(bench, child, claim):
            advice = "pass over every line whose type is not task or cancel"
            return _unanswered("after a message of an unknown type, its task", child, claim, 0, advice)
        return passed("passed over")


def end_of_stdin(bench: Bench) -> CheckResult:
    with bench.started("persistent") as child:
        if wait_for_ready(child, bench.limits.ready_timeout) is None:
            return inconclusive(_NEVER_READY, "see above")
        child.close_stdin()
        closed = child.now
        if not child.wait_for_exit(bench.limits.grace):
            return failed(f"it was still there {bench.limits.grace:g} s later", "exit when stdin is at its end")
        assert child.exit is not None
        if child.exit.code != 0:
            return warning(child.state, "exit 0 when stdin is at its end")
        return passed(f"exit 0 after {child.exit.at - closed:.2f} s")


def cancel(bench: Bench) -> CheckResult:
    claim = bench.claim()
    with bench.started("persistent") as child:
        said = wait_for_ready(child, bench.limits.ready_timeout)
        if said is None:
            return inconclusive(_NEVER_READY, "see above")
        if not can_cancel(said):
            return not_applicable("it does not have the capability cancel; SIGTERM ends its tasks")
        child.send(bench.line(claim))
        sent = child.now
        child.wait(lambda: ended(child, claim.task_id) or child.exit, min(_AT_WORK_S, bench.sample.seconds / 2))
        found = cancelled(bench, child, claim)
        end = ended(child, claim.task_id)
        if found.status is not Verdict.PASSED or end is None:
            return found
        if _as_the_sample(bench, end) and by_itself(bench, end.at - sent):
            return not_applicable("the task was over by itself", longer(bench))
        return found


def can_cancel(ready: HandlerLine) -> bool:
    return isinstance(ready.heard, ReadyEvent) and "cancel" in ready.heard.capabilities


def cancelled(bench: Bench, child: HandlerUnderTest, claim: Claim) -> CheckResult:
    """Whether it gives up the task that it has, and stays; a cancel that comes too late must not hit the next one."""
    message = wire.encode_cancel(claim, reason="cancel", grace_s=bench.limits.grace)
    child.send(message)
    asked = child.now
    child.wait(lambda: ended(child, claim.task_id) or child.exit, bench.limits.grace)
    if ended(child, claim.task_id) is None and child.exit is not None:
        return _gone(child, max(0.0, child.exit.at - asked))
    if ended(child, claim.task_id) is None:
        return failed(
            f"no terminal message within {bench.limits.grace:g} s of cancel ({child.state})",
            "give the task up, and say an error or a result for it",
        )
    following, said = bench.claim(number=2), len(child.lines)
    if not _answered(bench, child, following, message):
        return _unanswered("the task after it", child, following, said, "stay after a cancel")
    end = ended(child, following.task_id)
    if end is not None and not _as_the_sample(bench, end):
        seen = f"a second cancel for the task before ended the next one: {shown(end)}"
        return failed(seen, "pass over a cancel for a task that is over")
    return passed("the task ended, and the next one too")


def _gone(child: HandlerUnderTest, seconds: float) -> CheckResult:
    """It ended with its task. As SIGTERM ends a process, it may: the sidecar starts another."""
    assert child.exit is not None
    if child.exit.signal == signal.SIGTERM or child.exit.code == TERMINATED:
        return passed(f"it ended {seconds:.2f} s after cancel, as SIGTERM ends it ({child.exit})")
    return failed(
        f"it ended {seconds:.2f} s after cancel, with no terminal message ({child.state})",
        "say an error or a result for the task, and stay; or end as SIGTERM ends you, and nothing else",
    )


def _as_the_sample(bench: Bench, end: HandlerLine) -> bool:
    """It ended in the same way as the sample task, which nobody cancelled."""
    return [type(line.heard) for line in bench.sample.terminal[:1]] == [type(end.heard)]
