"""What the conformance program of every SDK does: through the real runner, and in persistent mode over plain pipes.

A test module subclasses `Contract` and gives it a fixture `program`, the command of its conformance program.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop, make_handlers
from gridsidecar.rules.task import Claim, Ended, Failed, Message, Task
from tests.sdks.driver import LIMIT, Conversation, cancel, converse, task
from tests.support.cli import command as cli
from tests.support.cli import environment, gridsidecar

Program = Sequence[str]
UNICODE = 'é ☃ 𝄞 \u2028 \u0085 "quoted" \\ \n \u0001'

PLAIN_DATA = [{}, None, [1, "é"], {"n": 1.5, "text": UNICODE}, {"x": "y" * 1_000_000}]


def attempt(folder: Path, program: Program, data: Any, **fields: Any) -> dict[str, Any]:
    """One task through `gridsidecar exec`: the outcome, and what was told meanwhile."""
    message = {"task_id": "t1", "data": data, "max_retry_count": 3, **fields}
    done = gridsidecar(folder, "exec", "--json", "--task", "-", "--", *program, stdin=json.dumps(message))
    assert done.stdout, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome | {"told": done.stderr}


async def timed_out(program: Program, mode: str) -> Ended:
    """An attempt that is given a second, and works for a minute."""
    settings = HandlerSettings(command=list(program), mode=mode, timeout=1.0, kill_grace=20.0)
    handler = make_handlers({"x": settings}, SystemClock())["x"]
    claim = Claim(
        task=Task(task_id="t1", message=Message(body=b"{}"), data={"case": "stop"}),
        attempt=1,
        worker_id="w",
        max_retry_count=3,
    )
    try:
        return await handler.run(claim, lambda _: None, Stop())
    finally:
        await handler.close(asyncio.Event())


def case(name: str, **fields: Any) -> dict[str, Any]:
    return {"case": name, **fields}


class Contract:
    """Duties of every SDK."""

    cancels = True

    # -- one task for each process ------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "data",
        [{}, None, [1, "é"], {"n": 1.5, "text": UNICODE}, {"x": "y" * 1_000_000}],
        ids=lambda data: str(data)[:9],
    )
    def test_data_comes_and_goes_as_it_is(self, tmp_path: Path, program: Program, data: Any) -> None:
        assert attempt(tmp_path, program, data)["result"] == data

    def test_events(self, tmp_path: Path, program: Program) -> None:
        outcome = attempt(tmp_path, program, case("full"))
        assert outcome["result"] == {"attempt": 1, "checkpoint": None, "task_id": "t1"}
        for words in ("10 %  started", 'warning: slow disk {"ms":812}', "90 %"):
            assert words in outcome["told"]

    @pytest.mark.parametrize(
        ("data", "wanted"),
        [
            (case("fail"), ("retrying", "RangeError", "it broke", 60)),
            (case("permanent"), ("failed", "BadInput", "bad input", None)),
            (case("retry"), ("retrying", "RateLimited", "try later", 2.5)),
            (case("exit", code=3), ("retrying", "HandlerExit", "exit status 3", 60)),
            (case("exit", code=65), ("failed", "HandlerExit", "exit status 65", None)),
        ],
    )
    def test_failures(self, tmp_path: Path, program: Program, data: Any, wanted: tuple[Any, ...]) -> None:
        outcome = attempt(tmp_path, program, data)
        kind, text = (outcome["last_error_type"] or outcome["error_type"]), outcome["error"]
        assert (outcome["status"], kind, text, outcome["retry_in_s"]) == wanted

    def test_what_is_no_json_is_a_failure_that_no_retry_mends(self, tmp_path: Path, program: Program) -> None:
        outcome = attempt(tmp_path, program, case("unserialisable"))
        assert outcome["status"] == "failed"
        assert "JSON" in outcome["error"] or "json" in outcome["error"]

    def test_noise_on_stdout_is_only_noise(self, tmp_path: Path, program: Program) -> None:
        outcome = attempt(tmp_path, program, case("noise"))
        assert outcome["result"] == {"said": "plainly"}
        assert "no line end, then" in outcome["told"]
        assert "forged" in outcome["told"]

    def test_text_of_all_kinds(self, tmp_path: Path, program: Program) -> None:
        assert attempt(tmp_path, program, case("unicode"))["result"] == UNICODE

    def test_a_large_result_is_whole(self, tmp_path: Path, program: Program) -> None:
        assert attempt(tmp_path, program, case("big", bytes=1_000_000))["result"] == "x" * 1_000_000

    def test_progress_comes_while_it_runs(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "oneshot", tmp_path) as handler:
            handler.send(task(case("full", seconds=50)))
            assert handler.process.stdin is not None
            handler.process.stdin.close()
            assert handler.event()["progress"] == 10
            assert [handler.event()["type"] for _ in range(3)] == ["log", "heartbeat", "checkpoint"]
            assert handler.process.poll() is None

    def test_a_stop_leaves_the_outcome_to_the_sidecar(self, tmp_path: Path, program: Program) -> None:
        """An error of ours would hide that time was up, or cost a retry when the worker leaves."""
        for name in ("stop", "deaf"):
            with self._at_work(tmp_path, program, name) as handler:
                handler.terminate()
                assert handler.process.wait(LIMIT) != 0
                assert handler.rest() == []

    def test_a_result_that_comes_in_time_counts(self, tmp_path: Path, program: Program) -> None:
        with self._at_work(tmp_path, program, "finish") as handler:
            handler.terminate()
            assert handler.event()["result"] == "finished early"
            handler.process.wait(LIMIT)

    @staticmethod
    @contextmanager
    def _at_work(folder: Path, program: Program, name: str) -> Iterator[Conversation]:
        with converse(program, "oneshot", folder) as handler:
            handler.send(task(case(name)))
            assert handler.process.stdin is not None
            handler.process.stdin.close()
            assert handler.event()["progress_message"] == "waiting"
            handler.fall_asleep()  # Python sees a signal that comes just before it sleeps when it wakes up
            yield handler

    def test_without_a_pipe_messages_are_on_stdout(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "oneshot", tmp_path, pipe=False) as handler:
            handler.send(task(case("noise")))
            assert handler.close() == 0
            [result] = handler.rest()
            assert (result["gs"], result["result"]) == (1, {"said": "plainly"})
        assert "no line end" in (tmp_path / "stderr").read_text()

    # -- one process for many tasks -----------------------------------------------------------------------------------

    def test_many_tasks(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "persistent", tmp_path) as handler:
            ready = handler.event()
            assert (ready["gs"], ready["type"], "cancel" in ready["capabilities"]) == (1, "ready", self.cancels)
            assert ready["sdk"].endswith("/0.2.0")
            for number in range(20):
                data = {"n": number, "text": "x" * 100 * number * number}
                handler.send(task(data, f"t{number}"))
                events = handler.until_end()
                assert {event["task_id"] for event in events} == {f"t{number}"}
                assert events[-1]["result"] == data
            assert handler.close() == 0
            assert handler.rest() == []

    def test_a_failure_is_not_the_end_of_the_process(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "persistent", tmp_path) as handler:
            handler.event()
            handler.send(task(case("fail"), "a"), b'{"gs":1,"type":"later.version"}\n', b"no JSON\n")
            assert handler.until_end()[-1]["error_type"] == "RangeError"
            handler.send(task(case("unserialisable"), "b"))
            assert handler.until_end()[-1]["retryable"] is False
            handler.send(task(case("retry"), "c"))
            error = handler.until_end()[-1]
            assert (error["task_id"], error["retryable"], float(error["retry_after_s"])) == ("c", True, 2.5)
            handler.send(task(case("full"), "d", attempt=4, checkpoint={"page": 5}))
            assert handler.until_end()[-1]["result"] == {"attempt": 4, "checkpoint": {"page": 5}, "task_id": "d"}
            assert handler.close() == 0

    def test_the_end_of_stdin_waits_for_the_task(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "persistent", tmp_path) as handler:
            handler.send(task(case("full", seconds=1)))
            assert handler.close() == 0
            assert handler.rest()[-1]["type"] == "result"

    def test_children_do_not_hear_the_tasks(self, tmp_path: Path, program: Program) -> None:
        with converse(program, "persistent", tmp_path) as handler:
            handler.send(task(case("children"), "a"), task({}, "b"))
            handler.event()
            assert "task_id" not in handler.until_end()[-1]["result"]
            assert handler.until_end()[-1]["task_id"] == "b"

    def test_a_cancel_ends_the_task_and_not_the_process(self, tmp_path: Path, program: Program) -> None:
        if not self.cancels:
            return
        with converse(program, "persistent", tmp_path) as handler:
            handler.event()
            for name in ("a", "b", "c"):
                handler.send(task(case("stop"), name), cancel("another"))
                assert handler.event()["progress_message"] == "waiting"
                handler.send(cancel(name))
                error = handler.event()
                assert (error["type"], error["task_id"]) == ("error", name)
            handler.send(cancel("c"), task({"still": "here"}))
            assert handler.until_end()[-1]["result"] == {"still": "here"}
            assert handler.close() == 0

    def test_a_cancel_that_comes_with_its_task(self, tmp_path: Path, program: Program) -> None:
        if not self.cancels:
            return
        with converse(program, "persistent", tmp_path) as handler:
            handler.event()
            for name in ("a", "b"):
                handler.send(task(case("stop"), name), cancel(name))
                error = handler.until_end()[-1]
                assert (error["type"], error["task_id"]) == ("error", name)
            handler.send(task({"still": "here"}, "c"))
            assert handler.until_end()[-1]["result"] == {"still": "here"}
            assert handler.close() == 0

    def test_a_stop_ends_the_process(self, tmp_path: Path, program: Program) -> None:
        for name in (None, "stop", "deaf"):
            with converse(program, "persistent", tmp_path) as handler:
                handler.event()
                if name is not None:
                    handler.send(task(case(name)))
                    assert handler.event()["progress_message"] == "waiting"
                handler.terminate()
                assert handler.process.wait(LIMIT) != 0
                assert handler.rest() == []

    # -- as the sidecar sees it ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("mode", ["oneshot", "persistent"])
    def test_a_timeout_has_one_name(self, program: Program, mode: str) -> None:
        """Whatever a language calls it when it gives its task up."""
        ended = asyncio.run(timed_out(program, mode))
        assert isinstance(ended.outcome, Failed), ended.outcome
        assert ended.outcome.error_type == "TimeoutError"
        if "late error" in ended.report.notes:  # an SDK that keeps the deadline itself may have said it before
            assert ended.outcome.error.startswith("timed out after 1 s; then it said: ")

    # -- the checker --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("data", [{}, case("full", seconds=0.5)], ids=["echo", "full"])
    def test_the_checker_finds_nothing(self, tmp_path: Path, program: Program, data: Any) -> None:
        options = ["--level", "2", "--strict", "--mode", "persistent", "--data", json.dumps(data)]
        done = subprocess.run(
            cli("check", *options, "--", *program),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path),
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
