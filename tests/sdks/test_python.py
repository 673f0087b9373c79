"""The Python SDK."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.driver import cancel, converse, task
from tests.sdks.many import ManyContract, ends
from tests.support.cli import gridsidecar

SDK = Path(__file__).parents[2] / "sdks" / "python"


@pytest.fixture(scope="session")
def program() -> Program:
    return [sys.executable, str(SDK / "conformance.py")]


class TestConformance(Contract):
    @pytest.mark.parametrize("mode", ["oneshot", "persistent"])
    def test_the_checker_finds_nothing_in_any_case(self, tmp_path: Path, program: Program, mode: str) -> None:
        done = gridsidecar(tmp_path, "check", "--level", "2", "--strict", "--cases", "--mode", mode, "--", *program)
        assert done.returncode == 0, done.stdout + done.stderr


class TestManyAtOnce(ManyContract):
    pass


THREADS = """
import time
from gridsidecar_sdk import Stopped, run

def work(ctx, data):
    print("in", ctx.task_id)
    try:
        for _ in range(data["steps"]):
            time.sleep(0.01)
    except Stopped:
        if data.get("finish"):
            return "finished early"
        raise
    return ctx.task_id

run(work, concurrency=30, threads=True)
"""


def test_functions_in_threads(tmp_path: Path) -> None:
    script = tmp_path / "threads.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(SDK)!r})\n{THREADS}")
    with converse([sys.executable, str(script)], "persistent", tmp_path) as handler:
        assert handler.event()["concurrency"] == 30
        handler.send(task({"steps": 6000}, task_id="a"), cancel("a"))
        handler.send(task({"steps": 6000, "finish": True}, task_id="b"), task({"steps": 6000}, task_id="c"))
        said: list[Any] = []
        while not {"in b", "in c"} <= {event.get("message") for event in said}:
            said.append(handler.event())
        handler.send(*(task({"steps": 100}, task_id=f"t{n}") for n in range(20)), cancel("b"), cancel("c"))
        found = ends(handler, 22 + (not any(event["type"] == "error" for event in said)))
        assert found["b"]["result"] == "finished early"
        assert (found["c"]["error_type"], found["c"]["error"]) == ("Stopped", "the task was stopped (timeout)")
        assert {name for name, event in found.items() if event.get("result") == name} == {f"t{n}" for n in range(20)}


@pytest.mark.parametrize("arguments", ["concurrency=2", "concurrency=0", "concurrency=True", "concurrency='9'"])
def test_what_run_refuses(tmp_path: Path, arguments: str) -> None:
    script = f"import sys; sys.path.insert(0, {str(SDK)!r})\nimport gridsidecar_sdk as g\ng.run(print, {arguments})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, input="", timeout=60)
    assert done.returncode == 1
    assert "threads=True" in done.stderr or "must be a whole number from 1" in done.stderr


@pytest.mark.timeout(300)
def test_its_own_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "-v"],
        cwd=SDK,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stderr
    assert "Ran 0" not in done.stderr


def test_it_is_written_for_old_versions() -> None:
    for file in (SDK / "gridsidecar_sdk").glob("*.py"):
        ast.parse(file.read_text(), file.name, feature_version=(3, 9))


FORKS = """
import asyncio, os, sys, time
sys.path.insert(0, {sdk!r})
from gridsidecar_sdk import Permanent, run

def child():
    {child}

def fork():
    pid = os.fork()
    if pid == 0:
        return child()
    _, status = os.waitpid(pid, 0)
    time.sleep(0.2)
    return "the parent's, after " + str(os.waitstatus_to_exitcode(status))

async def fork_in_async():
    await asyncio.sleep(0)
    return fork()

def hook(context):
    context["forked"] = fork()

functions = {{"plain": lambda ctx, data: fork(), "async": lambda ctx, data: fork_in_async()}}
run(functions.get({where!r}, lambda ctx, data: ctx["forked"]),
    on_startup=hook if {where!r} == "on_startup" else None, on_job_start=hook if {where!r} == "on_job_start" else None,
    on_shutdown=lambda _: print("left", os.getpid(), file=sys.stderr))
"""
WAYS = {"return 'the child'": 0, "raise Permanent('of the child')": 1, "sys.exit(7)": 7, "os._exit(8)": 8}


@pytest.mark.parametrize("mode", ["oneshot", "persistent"])
@pytest.mark.parametrize("where", ["plain", "async", "on_job_start", "on_startup"])
@pytest.mark.parametrize("child", WAYS)
def test_a_fork_decides_nothing(tmp_path: Path, mode: str, where: str, child: str) -> None:
    program = FORKS.format(sdk=str(SDK), child=child, where=where)
    with converse([sys.executable, "-c", program], mode, tmp_path) as handler:
        if mode == "persistent":
            assert handler.event()["type"] == "ready"
        handler.send(task({}, "a"))
        if mode == "persistent" and where != "on_startup":
            handler.send(task({}, "b"))
        assert handler.close() == 0
        results = [event["result"] for event in handler.rest() if event["type"] == "result"]
        assert set(results) == {f"the parent's, after {WAYS[child]}"}
        assert len(results) == (2 if mode == "persistent" and where != "on_startup" else 1)
    assert (tmp_path / "stderr").read_text().count("left") == 1
