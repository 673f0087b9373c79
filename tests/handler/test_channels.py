"""Whom to believe: the events pipe before stdout, and nobody who speaks for another task."""

from __future__ import annotations

import os

import pytest

from gridsidecar.rules.task import ErrorType, Failed, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import Run, Running, handler, log


def test_a_message_for_another_task_or_attempt_decides_nothing(on_loop: OnLoop) -> None:
    running = Running("forged-for-another")
    ended = on_loop(running.result())
    assert ended.outcome == Succeeded("own")
    assert ended.report.ignored_events == 2
    assert running.progress == []


def test_stdout_cannot_forge_a_result_while_the_pipe_is_used(run: Run) -> None:
    ended = run("forged")
    assert ended.outcome == Failed(error="exit status 3", error_type=ErrorType.HANDLER_EXIT)
    assert ended.report.ignored_events == 1


def test_the_pipe_wins_even_when_stdout_was_first(run: Run) -> None:
    ended = run("forged-first")
    assert ended.outcome == Succeeded("true")
    assert ended.report.ignored_events == 1


def test_channel_events_takes_stdout_for_text(run: Run) -> None:
    ended = run("stdout-events", channel="events")
    assert ended.outcome == Succeeded(None)
    assert log(ended).count('"gs":1') == 2


def test_channel_stdout_offers_no_pipe(run: Run) -> None:
    assert log(run("has-pipe", channel="stdout")) == "no\n"
    assert run("stdout-events", channel="stdout").outcome == Succeeded({"w": 640})
    assert log(run("has-pipe")) == "yes\n"


OTHER_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
MINE = '{"type":"result","result":"mine"}'


@pytest.mark.parametrize("cwd", [None, "/tmp"])
def test_another_user_can_open_the_events_pipe(on_loop: OnLoop, cwd: str | None) -> None:
    """Only root can try it; what it takes shows in the mode for everybody."""
    command = ["sh", "-c", 'stat -L -c %a "$GRIDSIDECAR_EVENTS"; echo "$0" >>"$GRIDSIDECAR_EVENTS"', MINE]
    made = handler([*OTHER_USER, *command] if os.geteuid() == 0 else command, cwd=cwd)
    running = Running("exit", "0")
    ended = on_loop(made.run(running.claim, running.progress.append, running.stop))
    assert ended.outcome == Succeeded("mine")
    assert log(ended) == "666\n"
