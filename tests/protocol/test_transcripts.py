"""The conversations of the specification happen with its own examples, and the sidecar makes of them what it says."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.conformance.handler_under_test import HandlerUnderTest
from gridsidecar.conformance.run import fields_of
from gridsidecar.handler import Stop, make_handlers
from gridsidecar.handler.command import Command
from gridsidecar.handler.env_variables import handler_environment
from gridsidecar.rules.task import Claim, Failed, Message, Outcome, Succeeded, Task
from gridsidecar.wire import encode_input

FOLDER = Path(__file__).parents[2] / "protocol"
TRANSCRIPTS: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "transcripts").glob("*.json"))
}
LIMIT = 30.0  # seconds for one step
OnLoop = Callable[[Callable[[], Any]], Any]


def settings_of(transcript: dict[str, Any]) -> HandlerSettings:
    channel = "auto" if transcript["events_pipe"] else "stdout"
    return HandlerSettings(command=transcript["command"], mode=transcript["mode"], cwd=str(FOLDER), channel=channel)


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[HandlerUnderTest]:
    transcript = TRANSCRIPTS[request.param]
    env = handler_environment(settings_of(transcript), os.environ)
    command = Command("transcript", tuple(transcript["command"]), str(FOLDER), env)
    child = HandlerUnderTest(command, env, SystemClock(), offer_events=transcript["events_pipe"])
    yield child
    child.close()


@pytest.mark.parametrize(("child", "name"), [(name, name) for name in TRANSCRIPTS], indirect=["child"])
def test_a_conversation(child: HandlerUnderTest, name: str) -> None:
    seen = dict.fromkeys(("events", "stdout"), 0)  # there is no order between channels
    for step in TRANSCRIPTS[name]["steps"]:
        ((kind, value),) = step.items()
        match kind:
            case "stdin" if value is None:
                child.close_stdin()
            case "stdin":
                child.send(json.dumps(value).encode() + b"\n")
            case "exit":
                assert child.wait_for_exit(LIMIT)
                assert child.exit is not None
                assert child.exit.code == value, child.stderr.last_line()
            case _:
                seen[kind] = awaited(child, kind, value, seen[kind])


def awaited(child: HandlerUnderTest, channel: str, wanted: dict[str, Any], seen: int) -> int:
    """How many lines of the channel there are up to the wanted one."""

    def found() -> int:
        lines = [line for line in child.lines if line.channel.value == channel]
        fits = (number for number, line in enumerate(lines, 1) if wanted.items() <= fields_of(line).items())
        return next((number for number in fits if number > seen), 0)

    assert child.wait(found, LIMIT), (wanted, child.lines, child.stderr.last_line())
    return found()


@pytest.mark.parametrize("name", [name for name, transcript in TRANSCRIPTS.items() if "outcome" in transcript])
async def test_what_the_sidecar_makes_of_it(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    claim = claim_of(transcript["steps"][0]["stdin"])
    handler = make_handlers({"default": settings_of(transcript)}, SystemClock())["default"]
    ended = await handler.run(claim, lambda _: None, Stop())
    found = told(ended.outcome)
    assert {key: found[key] for key in transcript["outcome"]} == transcript["outcome"], ended


@pytest.mark.parametrize("name", ["persistent", "persistent-stdout"])
async def test_what_the_sidecar_makes_of_one_that_stays(name: str) -> None:
    """One process answers all its tasks as the transcript says."""
    transcript = TRANSCRIPTS[name]
    handler = make_handlers({"default": settings_of(transcript)}, SystemClock())["default"]
    messages = [message for step in transcript["steps"] for kind, message in step.items() if kind != "exit" and message]
    try:
        for task in (message for message in messages if message["type"] == "task"):
            ended = await handler.run(claim_of(task), lambda _: None, Stop())
            told_of_it = messages[messages.index(task) :]
            end = next(message for message in told_of_it if message["type"] in ("result", "error"))
            check_end(ended.outcome, end)
    finally:
        await handler.close(asyncio.Event())


def check_end(outcome: Outcome, end: dict[str, Any]) -> None:
    found = told(outcome)
    assert found["outcome"] == ("success" if end["type"] == "result" else "failed")
    for name in end.keys() & found.keys():
        assert found[name] == end[name]


@pytest.mark.parametrize("name", list(TRANSCRIPTS))
def test_the_tasks_are_as_the_sidecar_writes_them(name: str) -> None:
    for step in TRANSCRIPTS[name]["steps"]:
        line = step.get("stdin")
        if line is not None and line["type"] == "task":
            run = line["run"]
            times = {"timeout_s": run["timeout_s"], "grace_s": run["grace_s"], "deadline_ms": run["deadline_ms"]}
            assert json.loads(encode_input(claim_of(line), mode="task", **times)) == line


def claim_of(line: dict[str, Any]) -> Claim:
    task = Task(task_id=line["task_id"], message=Message(body=b"{}"), data=line["data"])
    run = line["run"]
    return Claim(
        task=task,
        attempt=run["attempt"],
        worker_id="w",
        max_retry_count=line["max_retry_count"],
        redelivered=run["redelivered"],
        checkpoint=run["checkpoint"],
    )


def told(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Succeeded(result):
            return {"outcome": "success", "result": result}
        case Failed():
            hints = {"retryable": outcome.retryable, "retry_after_s": outcome.retry_after}
            return {"outcome": "failed", "error": outcome.error, "error_type": outcome.error_type, **hints}
        case _:
            raise AssertionError(outcome)


async def test_the_handler_leads_a_session_of_its_own() -> None:
    """S3: session, group and process have one number, which is not ours."""
    script = """read task; set -- $(sed 's/.*) //' /proc/$$/stat)
    printf '{"gs":1,"type":"result","result":[%s,%s,%s]}' $$ $3 $4"""
    settings = HandlerSettings(command=["sh", "-c", script])
    claim = Claim(task=Task(task_id="r-1", message=Message(body=b"{}")), attempt=1, worker_id="w", max_retry_count=0)
    ended = await make_handlers({"default": settings}, SystemClock())["default"].run(claim, lambda _: None, Stop())
    assert isinstance(ended.outcome, Succeeded), ended
    process, group, session = ended.outcome.result
    assert process == group == session != os.getsid(0)
