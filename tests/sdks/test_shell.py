"""The shell SDK, in dash, in bash and in busybox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsidecar.wire.strict_json import JsonRefused, parse_json
from tests.sdks.contract import Contract, Program

SDK = Path(__file__).parents[2] / "sdks" / "shell"
SCRIPT = SDK / "gridsidecar.sh"
SHELLS = ["dash", "bash", "busybox sh"]
AWKS = ["awk", "mawk", "busybox awk"]
AWK = re.search(r"^_gs_awk='\n(.*?)\n'$", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="session", params=SHELLS)
def program(request: pytest.FixtureRequest) -> Program:
    return [*request.param.split(), str(SDK / "conformance.sh")]


class TestConformance(Contract):
    cancels = False


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shell", SHELLS)
def test_its_own_tests(shell: str) -> None:
    done = subprocess.run([*shell.split(), str(SDK / "test" / "test.sh")], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_lines_of_background_jobs_stay_whole(tmp_path: Path, shell: str) -> None:
    fifo = tmp_path / "events"
    subprocess.run(["mkfifo", fifo], check=True)
    script = f""". {SCRIPT}
    text=$(head -c 4000 /dev/zero | tr '\\0' x)
    for job in 1 2 3 4; do (i=0; while [ $i -lt 50 ]; do gs_result_string "$text"; i=$((i + 1)); done) & done; wait"""
    lines: list[Any] = []
    held = os.open(fifo, os.O_RDWR)  # it stays open between two writers

    def read() -> None:
        with fifo.open("rb") as stream:
            lines.extend(json.loads(next(stream)) for _ in range(200))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    environment = {"PATH": "/usr/bin:/bin", "GRIDSIDECAR_EVENTS": str(fifo)}
    subprocess.run([*shell.split(), "-c", script], check=True, env=environment, timeout=100)
    reader.join(20)
    os.close(held)
    assert [len(line["result"]) for line in lines] == [4000] * 200


each_awk = pytest.mark.parametrize("interpreter", AWKS)


def awk(interpreter: str, operation: str, data: bytes, *names: str) -> tuple[int, bytes]:
    assert AWK is not None
    command = [*interpreter.split(), AWK[1], operation, *names]
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, input=data + b"\n", capture_output=True, env=environment)
    return done.returncode, done.stdout


@each_awk
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=40).filter(lambda data: b"\0" not in data))
def test_any_bytes_become_a_text(interpreter: str, data: bytes) -> None:
    """How many marks stand for a bad sequence differs; where they stand does not."""
    code, text = awk(interpreter, "string", data)
    got, wanted = (re.sub("\ufffd+", "\ufffd", read) for read in (json.loads(text), data.decode("utf-8", "replace")))
    assert (code, got) == (0, wanted)


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"\\"',
    '"\\u00e9"',
    '"\\ud800"',
    '"é"',
    "1",
    "-0.5e3",
    "01",
    "null",
    "x",
    " ",
    "\n",
]


@each_awk
@settings(max_examples=150, deadline=None)
@given(text=st.lists(st.sampled_from(TOKENS), max_size=9).map("".join))
def test_it_takes_the_json_that_the_worker_takes(interpreter: str, text: str) -> None:
    try:
        wanted = (0, parse_json(text))
    except JsonRefused:
        wanted = (1, None)
    code, line = awk(interpreter, "json", text.encode())
    assert b"\n" not in line
    assert (code, json.loads(line) if code == 0 else None) == wanted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@each_awk
@settings(max_examples=60, deadline=None)
@given(
    data=st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), VALUES, max_size=4)
)
def test_fields_are_found(interpreter: str, data: dict[str, Any]) -> None:
    whole = json.dumps({"type": "task", "run": {}, "data": data}).encode()
    for name, value in data.items():
        code, text = awk(interpreter, "raw", whole, "data", name)
        assert (code, json.loads(text)) == (0, value)
        if isinstance(value, str):
            assert awk(interpreter, "get", whole, "data", name)[1] == value.encode()
