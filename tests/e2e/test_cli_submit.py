"""`gridsidecar submit`: what reaches the queue, what is printed where, and the exit codes."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest

from tests.support.cli import command, end, environment, gridsidecar, on_terminal, start, work, write_config
from tests.support.waiting import eventually

SLEEPY = {"command": ["sh", "-c", "cat > /dev/null; sleep 30"], "kill_grace": 1}
FAILING = {"command": ["sh", "-c", "cat > /dev/null; echo 'no such thing' >&2; exit 1"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_config(
        tmp_path, {"default": {"command": ["cat"]}, "failing": FAILING, "sleepy": SLEEPY}, worker={"shutdown_grace": 0}
    )
    return tmp_path


@contextlib.contextmanager
def worker(folder: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    with (folder / "worker.log").open("w") as log:
        process = start(folder, "run", *flags, stderr=log)
    try:
        yield process
    finally:
        end(process)


def queued(folder: Path) -> list[dict[str, Any]]:
    """Bodies of the messages on the embedded queue, oldest first."""
    with contextlib.closing(sqlite3.connect(folder / "q.db")) as connection:
        (table,) = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
            if "body" in [column[1] for column in connection.execute(f"pragma table_info({name})")]
            and "grid_async" not in name
        ]
        return [json.loads(body) for (body,) in connection.execute(f"select body from {table} order by rowid")]


def row(folder: Path, task_id: str) -> dict[str, Any]:
    done = gridsidecar(folder, "status", task_id, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_task_from_options(folder: Path) -> None:
    done = gridsidecar(
        folder, "submit", "--type", "t", "--id", "a", "--data", '{"n": 1}', "--retries", "2", "--priority", "high",
        "--timeout", "9", "--defer-by", "5", "--defer-until", "2030-01-01T00:00:00Z",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
    assert queued(folder) == [
        {
            "task_id": "a",
            "task_type": "t",
            "data": {"n": 1},
            "max_retry_count": 2,
            "priority": "high",
            "timeout": 9.0,
            "defer_by": 5.0,
            "defer_until": "2030-01-01T00:00:00Z",
        }
    ]


def test_compressed_tasks(folder: Path) -> None:
    lines = "".join(json.dumps({"task_id": f"t{n}", "data": {"n": n, "text": "x" * 2000}}) + "\n" for n in range(3))
    assert gridsidecar(folder, "submit", "-", "--compress", stdin=lines).returncode == 0
    small = gridsidecar(folder, "submit", "--id", "small", "--data", "1", "--compress")
    plain = gridsidecar(folder, "submit", "--id", "plain", "--data", json.dumps("y" * 2000))
    assert (small.returncode, plain.returncode) == (0, 0)
    with contextlib.closing(sqlite3.connect(folder / "q.db")) as connection:
        rows = connection.execute("select body, properties from gridsidecar_messages order by id").fetchall()
    encodings = [json.loads(properties).get("content_encoding") for _, properties in rows]
    assert encodings == ["gzip"] * 3 + [None, None]
    assert len(rows[0][0]) < 200
    assert json.loads(gzip.decompress(rows[2][0]))["task_id"] == "t2"
    work(folder)
    assert row(folder, "t1")["data"] == {"n": 1, "text": "x" * 2000}


def test_an_id_is_made_up(folder: Path) -> None:
    done = gridsidecar(folder, "submit", "--data", "null")
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
    assert queued(folder)[0]["task_id"] == done.stdout.strip()


@pytest.mark.parametrize("form", ["@data.json", "-"])
def test_data_from_a_file_and_from_stdin(folder: Path, form: str) -> None:
    (folder / "data.json").write_text('["ä"]')
    done = gridsidecar(folder, "submit", "--id", "a", "--data", form, stdin='["ä"]')
    assert done.returncode == 0, done.stderr
    assert queued(folder)[0]["data"] == ["ä"]


@pytest.mark.parametrize("source", [["-"], ["--file", "-"], ["tasks.jsonl"], ["--file", "tasks.jsonl"]])
def test_lines(folder: Path, source: list[str]) -> None:
    lines = '{"task_id": "a", "task_type": "own"}\n\n{"task_id": "b", "extra": [1]}\n{"data": 3}'
    (folder / "tasks.jsonl").write_text(lines)
    done = gridsidecar(folder, "submit", *source, "--type", "common", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = queued(folder)
    assert first == {"task_id": "a", "task_type": "own"}
    assert second == {"task_id": "b", "task_type": "common", "extra": [1]}
    assert (third["task_type"], third["data"]) == ("common", 3)
    assert done.stdout.split() == ["a", "b", third["task_id"]]


def test_a_json_file_is_one_document(folder: Path) -> None:
    (folder / "tasks.json").write_text('[\n {"task_id": "a"},\n {"task_id": ""},\n {"task_id": "c"}\n]')
    done = gridsidecar(folder, "submit", "tasks.json")
    assert (done.returncode, done.stdout) == (1, "a\nc\n")
    assert done.stderr.startswith("item 2: task_id must have 1")


def test_wrapped_values_are_data(folder: Path) -> None:
    done = gridsidecar(folder, "submit", "-", "--wrap", "--type", "resize", stdin='"a.png"\n{"task_id": "inner"}\n')
    assert done.returncode == 0, done.stderr
    assert [(one["task_type"], one["data"]) for one in queued(folder)] == [
        ("resize", "a.png"),
        ("resize", {"task_id": "inner"}),
    ]


def test_bad_lines_are_told_and_the_good_ones_sent(folder: Path) -> None:
    lines = b"\n".join(
        [
            b'{"task_id": "a"}',
            b"{oops",
            b"[1]",
            b'{"task_id": " b"}',
            b'{"priority": 11}',
            b"\xff\xfe",
            b'{"task_id":"z"}',
        ]
    )
    done = gridsidecar(folder, "submit", "-", stdin=lines)
    assert (done.returncode, done.stdout) == (1, "a\nz\n")
    told = done.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == [f"line {n}" for n in (2, 3, 4, 5, 6)] + ["2 tasks sent, 5 not"]
    assert "not JSON" in told[0]
    assert "--wrap" in told[1]
    assert "priority: 11 is above 9, the highest" in told[3]
    assert [one["task_id"] for one in queued(folder)] == ["a", "z"]


def test_ids_come_as_the_lines_come(folder: Path) -> None:
    process = subprocess.Popen(
        command("submit", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        cwd=folder, env=environment(folder),
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("a", "b"):
            process.stdin.write(json.dumps({"task_id": name}) + "\n")
            assert process.stdout.readline() == f"{name}\n"
        process.stdin.close()
        assert process.wait(30) == 0


def test_500_lines_are_all_confirmed(folder: Path) -> None:
    ids = [f"t{number}" for number in range(500)]
    done = gridsidecar(folder, "submit", "-", stdin="\n".join(json.dumps({"task_id": one}) for one in ids))
    assert sorted(done.stdout.split()) == sorted(ids)
    assert sorted(one["task_id"] for one in queued(folder)) == sorted(ids)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to submit"),
        (["--data", "{oops"], "--data is not JSON"),
        (["--priority", "12"], "is above 9, the highest"),
        (["--id", " a"], "task_id must not start"),
        (["--defer-until", "soon"], "defer_until must be"),
        (["--retries", "many"], "retries"),
        (["-", "--id", "a"], "--id is for one task"),
        (["-", "--data", "1"], "--data is for one task"),
        (["a.jsonl", "--file", "b.jsonl"], "exclude each other"),
        (["missing.jsonl"], "cannot read missing.jsonl: No such file"),
        (["--wrap"], "--wrap needs"),
        (["--type", "t", "--wait-timeout", "1"], "--wait-timeout needs --wait"),
        (["--type", "t", "--wait", "--wait-timeout", "nan"], "--wait-timeout is nan"),
        (["--type", "t", "--wait", "--wait-timeout", "-1"], "--wait-timeout is -1"),
        (["--defer-by", "nan"], "defer_by is nan"),
        (["--timeout", "inf"], "timeout is inf"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], said: str) -> None:
    done = gridsidecar(folder, "submit", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_producer_needs_no_store_and_no_handlers(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "submit", "--id", "a", "-u", f"sqlite:///{tmp_path}/q.db")
    assert (done.returncode, done.stdout) == (0, "a\n")


def test_without_a_broker(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "submit", "--id", "a")
    assert done.returncode == 78
    assert "broker.url" in done.stderr
    done = gridsidecar(tmp_path, "submit", "--id", "a", "-u", "amqp://127.0.0.1:1/")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.count("\n") == 1


def test_priority_reaches_rabbitmq_as_a_property(tmp_path: Path, amqp_url: str, queue: str) -> None:
    lines = '{"task_id": "a", "priority": "urgent"}\n{"task_id": "b"}'
    done = gridsidecar(tmp_path, "submit", "-", "-u", amqp_url, "-q", queue, stdin=lines)
    assert (done.returncode, sorted(done.stdout.split())) == (0, ["a", "b"]), done.stderr
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        found = {}
        for _ in range(2):
            _, properties, body = channel.basic_get(queue, auto_ack=True)
            found[json.loads(body)["task_id"]] = properties
    assert (found["a"].priority, found["b"].priority) == (9, None)
    assert found["a"].delivery_mode == 2


# -- --wait -----------------------------------------------------------------------------------------------------------


def test_wait_for_success(folder: Path) -> None:
    with worker(folder):
        done = gridsidecar(folder, "submit", "--id", "a", "--wait")
    assert (done.returncode, done.stdout) == (0, "a\n")
    assert done.stderr.endswith("1 success\n")


@pytest.mark.parametrize("wait", [["--wait"], []])
def test_an_id_that_had_ended_says_that_nothing_was_run(folder: Path, wait: list[str]) -> None:
    with worker(folder):
        first = gridsidecar(folder, "submit", "--id", "a", "--wait")
        again = gridsidecar(folder, "submit", "--id", "a", *wait)
    said = "a had already ended; nothing was run"
    assert (first.returncode, said in first.stderr) == (0, False)
    assert (again.returncode, again.stdout, said in again.stderr) == (0, "a\n", True)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "a was cancelled before it ran; nothing was run: `gridsidecar tasks retry`"),
        ("zh", "a 在运行之前已取消；没有"),
    ],
)
def test_an_id_that_was_cancelled_before_it_came_says_so(folder: Path, language: str, said: str) -> None:
    with worker(folder):
        gridsidecar(folder, "tasks", "cancel", "a")
        done = gridsidecar(folder, "submit", "--id", "a", "--lang", language)
    assert (done.returncode, done.stdout) == (0, "a\n")
    assert said in done.stderr


def test_a_store_without_tables_keeps_no_task_from_being_sent(folder: Path) -> None:
    gridsidecar(folder, "submit", "--id", "a")  # makes the file, for its queue
    done = gridsidecar(folder, "submit", "--id", "b", "--wait", "--wait-timeout", "0.1")
    assert (done.returncode, done.stdout) == (75, "b\n"), done.stderr


def test_more_tasks_than_a_terminal_has_rows(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text("\n".join(json.dumps({"task_id": f"任务-{n}"}) for n in range(60)))
    with worker(folder):
        code, written = on_terminal(folder, "submit", "tasks.jsonl", "--wait")
    assert code == 0
    assert written.rstrip().endswith("60 success")
    frames = written.split("\x1b[?25l")[1].split("queued")
    assert all(frame.count("\r\n") < 24 for frame in frames[1:])


def test_wait_for_failure_among_successes(folder: Path) -> None:
    lines = '{"task_id": "good"}\n{"task_id": "bad", "task_type": "failing"}\n'
    with worker(folder):
        done = gridsidecar(folder, "submit", "-", "--wait", "--json", stdin=lines)
    assert done.returncode == 1
    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert (good["task_id"], good["status"], good["result"]) == ("good", "success", None)
    assert (bad["task_id"], bad["status"], bad["error_type"]) == ("bad", "failed", "HandlerExit")
    assert bad["error_message"] == "no such thing"
    assert done.stderr.endswith("1 success, 1 failed\n")


def test_bad_lines_fail_a_wait_that_succeeds(folder: Path) -> None:
    with worker(folder):
        done = gridsidecar(folder, "submit", "-", "--wait", stdin='{"task_id": "a"}\n{oops\n')
    assert (done.returncode, done.stdout) == (1, "a\n")


def test_wait_only_so_long(folder: Path) -> None:
    with worker(folder):
        done = gridsidecar(folder, "submit", "--id", "a", "--type", "sleepy", "--wait", "--wait-timeout", "0.5")
    assert (done.returncode, done.stdout) == (75, "a\n")
    assert "the tasks go on" in done.stderr


async def test_ctrl_c_ends_the_waiting_and_not_the_task(folder: Path) -> None:
    with worker(folder):
        process = start(folder, "submit", "--id", "a", "--type", "sleepy", "--wait")
        await eventually(lambda: '"running"' in gridsidecar(folder, "status", "a", "--json").stdout)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert (process.returncode, stdout) == (130, "a\n")
        assert "the tasks go on" in stderr
        assert "Traceback" not in stderr
        assert row(folder, "a")["status"] == "running"


async def test_ctrl_c_while_reading_stdin(folder: Path) -> None:
    reading, writing = os.pipe()
    try:
        process = start(folder, "submit", "-", stdin=reading)
        os.write(writing, b'{"task_id": "a"}\n')
        assert process.stdout is not None
        assert process.stdout.readline() == "a\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (130, "")
    finally:
        os.close(reading)
        os.close(writing)


def test_what_was_submitted_runs(folder: Path) -> None:
    gridsidecar(folder, "submit", "--id", "a", "--data", '{"n": 2}')
    work(folder)
    assert (row(folder, "a")["status"], row(folder, "a")["data"]) == ("success", {"n": 2})


def test_wait_and_status_on_real_servers(tmp_path: Path, amqp_url: str, queue: str, mysql_url: str) -> None:
    servers = {"broker": {"url": amqp_url, "queue": queue}, "store": {"url": mysql_url}}
    retrying = FAILING | {"retry": {"max_retries": 1, "delay": 0}}
    write_config(tmp_path, {"default": {"command": ["cat"]}, "failing": retrying}, **servers)
    lines = '{"task_id": "good", "data": "ä"}\n{"task_id": "bad", "task_type": "failing"}\n'
    with worker(tmp_path):
        done = gridsidecar(tmp_path, "submit", "-", "--wait", stdin=lines)
    assert (done.returncode, sorted(done.stdout.split())) == (1, ["bad", "good"]), done.stderr
    assert "bad  failed: RetryExhausted (HandlerExit): no such thing" in done.stderr
    good, bad = row(tmp_path, "good"), row(tmp_path, "bad")
    assert (good["status"], good["data"], bad["status"], bad["retry_count"]) == ("success", "ä", "failed", 1)
    assert [one["outcome"] for one in bad["attempts"]] == ["failed", "failed"]
    assert bad["attempts"][0]["ended_at"].endswith("Z")
    assert gridsidecar(tmp_path, "status", "good").returncode == 0
    assert gridsidecar(tmp_path, "status", "missing").returncode == 1
