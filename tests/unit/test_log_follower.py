"""What who follows an attempt is told at its end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gridsidecar.cli.log_follower import TextWriter
from gridsidecar.rules.task import Status
from gridsidecar.store import OutputPage, Piece

RUNNING = OutputPage(
    task_id="t",
    attempt=1,
    pieces=(Piece("half a line", 0),),
    next=11,
    running=True,
    outcome=None,
    started_at=None,
    ended_at=None,
    worker="pod-1",
    worker_id="w",
    stderr_tail=None,
    notes=None,
    status=Status.RUNNING,
    latest=1,
)
LOST = replace(RUNNING, pieces=(), running=False, outcome="lost", status=Status.FAILED)


def followed(*looks: OutputPage) -> None:
    writer = TextWriter()
    writer.begin(looks[0])
    for said in looks:
        writer.show(said)
    writer.end(looks[-1])


def test_an_attempt_that_was_lost_after_it_said_something(capsys: pytest.CaptureFixture[str]) -> None:
    followed(RUNNING, LOST)
    out, err = capsys.readouterr()
    assert out == "half a line\n"
    assert "was lost with its worker, pod-1: the last seconds before that may be missing" in err


def test_one_that_was_lost_before(capsys: pytest.CaptureFixture[str]) -> None:
    followed(replace(RUNNING, pieces=()), LOST)
    out, err = capsys.readouterr()
    assert out == ""
    assert "was lost with its worker, pod-1: nothing is known of what it said" in err
