"""What people read: JSON on any stdout, dates in files, reasons, origins, lists that go back into `submit`."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import cli, forked

CONFIG = """
broker: {{url: 'sqlite:///{folder}/queue.db'}}
store: {{url: 'sqlite:///{folder}/tasks.db'}}
handlers:
  default: {{command: ['sh', '-c', 'sleep 0.3; cat']}}
  again: {{command: ['sh', 'again.sh', '"retryable":true']}}
  later: {{command: ['sh', 'again.sh', '"retry_after_s":3']}}
retry: {{max_retries: 0}}
log: {{dir: '{folder}/log'}}
"""
ASKS_AGAIN = """cat >/dev/null; echo '{"gs":1,"type":"error","error":"busy",'"$1"'}'"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "again.sh").write_text(ASKS_AGAIN)
    return tmp_path


def gridsidecar(
    folder: Path, *arguments: str, closed: tuple[int, ...] = (), stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    def close() -> None:
        for number in closed:
            os.close(number)

    unusual = {"preexec_fn": close} if closed else {}
    env = cli.environment(folder, environ)
    return forked.run(cli.command(*arguments), stdin, cli.LIMIT, cwd=folder, env=env, **unusual)


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "utf-8"])
def test_json_is_json_whatever_stdout_takes(folder: Path, encoding: str) -> None:
    text = "\U0001f600 中 é"
    event = json.dumps({"gs": 1, "type": "result", "result": text})
    handler = ["sh", "-c", f"cat >/dev/null; printf '%s\\n' '{event}'"]
    done = gridsidecar(folder, "exec", "--", *handler, PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout.decode(encoding)) == text
    (folder / "d.yaml").write_text((folder / "c.yaml").read_text() + "worker: {name: 中\U0001f600}\n", encoding="utf-8")
    shown = gridsidecar(folder, "config", "print", "--json", "-c", "d.yaml", PYTHONIOENCODING=encoding)
    assert json.loads(shown.stdout.decode(encoding))["worker"]["name"] == "中\U0001f600"


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("command", ["exec -- true", "run -c c.yaml --burst", "health none"])
def test_it_starts_with_closed_descriptors(folder: Path, closed: tuple[int, ...], command: str) -> None:
    done = gridsidecar(folder, *command.split(), closed=closed)
    assert done.returncode == (command == "health none"), done.stderr


def test_descriptors_are_open_before_anything_is_loaded() -> None:
    code = (
        "import os; os.close(0); import gridsidecar.__main__ as program\n"
        "program.fill_standard_descriptors(); print(os.readlink('/proc/self/fd/0'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "/dev/null\n"


def test_lines_of_a_log_file_have_date_and_zone(folder: Path) -> None:
    gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "again")
    shown = gridsidecar(folder, "run", "-c", "c.yaml", "--burst").stderr.decode().splitlines()
    kept = (folder / "log" / "gridsidecar.log").read_text().splitlines()
    assert len(kept) == len(shown) > 3
    for line, short in zip(kept, shown, strict=True):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING) ", line)
        assert line.replace("Z ", " ", 1).endswith(short)


@pytest.mark.parametrize("kind", ["again", "later"])
def test_a_retry_that_is_not_allowed_says_so(folder: Path, kind: str) -> None:
    gridsidecar(folder, "submit", "-c", "c.yaml", "--type", kind, "--id", "t")
    gridsidecar(folder, "run", "-c", "c.yaml", "--burst")
    task = json.loads(gridsidecar(folder, "status", "-c", "c.yaml", "--json", "t").stdout)
    assert (task["status"], task["error_message"]) == ("failed", "busy (no retry, as max_retries is 0)")


def test_exec_says_nothing_for_a_checkpoint(folder: Path) -> None:
    half = '{"gs":1,"type":"progress","progress":50,"progress_message":"half"}'
    events = ['{"gs":1,"type":"checkpoint","data":{"at":1}}', half]
    script = "cat >/dev/null; " + "; ".join(f"echo '{event}'" for event in events)
    told = gridsidecar(folder, "exec", "--", "sh", "-c", script).stderr.decode().splitlines()
    assert [line.strip() for line in told[:-1]] == ["50 %  half"]


def test_origins_of_settings(folder: Path) -> None:
    variables = {"GRID_ASYNC_TASK_RETRY_DELAY": "7", "LOG_LEVEL": "trace"}
    shown = gridsidecar(folder, "config", "print", "--origins", "--json", "-c", "c.yaml", **variables)
    found = json.loads(shown.stdout)
    assert found["broker.url"]["origin"] == "c.yaml:2"
    assert found["retry.delay"] == {"value": 7, "origin": "GRID_ASYNC_TASK_RETRY_DELAY"}
    assert found["log.level"] == {"value": "DEBUG", "origin": "LOG_LEVEL"}
    assert found["worker.concurrency"]["origin"] is None
    lines = gridsidecar(folder, "config", "print", "--origins", "-c", "c.yaml").stdout.decode().splitlines()
    assert any(re.fullmatch(r"retry\.max_retries: 0 {,50}# c\.yaml:\d+", line) for line in lines)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("trace", "DEBUG"),
        ("notice", "INFO"),
        ("Verbose", "DEBUG"),
        ("20", "INFO"),
        ("10", "DEBUG"),
        ("40", "ERROR"),
        ("off", "ERROR"),
        ("Information", "INFO"),
        ("debug,http=trace", "INFO"),
        ("*", "INFO"),
    ],
)
def test_levels_of_other_programs(folder: Path, given: str, meant: str) -> None:
    done = gridsidecar(folder, "config", "validate", "-c", "c.yaml", LOG_LEVEL=given)
    assert done.returncode == 0
    assert f"{given} is the level of another program; here it means {meant}" in done.stderr.decode()
    assert b"another program" not in gridsidecar(folder, "config", "validate", "-c", "c.yaml", LOG_LEVEL="warn").stderr
    assert gridsidecar(folder, "config", "validate", "-c", "c.yaml", GRID_ASYNC_TASK_LOG_LEVEL="loud").returncode == 78


def test_a_list_goes_back_into_submit(folder: Path) -> None:
    data = {"n": 1, "text": "中"}
    gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "again", "--data", json.dumps(data), "--id", "t")
    gridsidecar(folder, "run", "-c", "c.yaml", "--burst")
    task = json.loads(gridsidecar(folder, "tasks", "list", "-c", "c.yaml", "--json").stdout)
    assert task["data"] == data
    again = {"task_id": "u", "task_type": task["task_type"], "data": task["data"]}
    assert gridsidecar(folder, "submit", "-c", "c.yaml", "-", stdin=json.dumps(again).encode()).stdout == b"u\n"
    gridsidecar(folder, "run", "-c", "c.yaml", "--burst")
    assert json.loads(gridsidecar(folder, "status", "-c", "c.yaml", "--json", "u").stdout)["data"] == data


def test_figures_of_one_queue(folder: Path) -> None:
    for queue in ("one", "two", "two"):
        gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "again", GRID_ASYNC_TASK_QUEUE=queue)
        gridsidecar(folder, "run", "-c", "c.yaml", "--burst", "-q", queue)

    def counted(*options: str) -> dict[str, int]:
        figures = json.loads(gridsidecar(folder, "stats", "-c", "c.yaml", "--json", *options).stdout)
        return dict(figures["statuses"])

    assert counted() == {"failed": 3}
    assert counted("--queue", "one") == {"failed": 1}
    assert counted("--queue", "two") == {"failed": 2}
    assert counted("--queue", "none") == {}


def test_times_of_a_table_with_whole_seconds_are_those_of_attempts(folder: Path) -> None:
    gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "x")
    gridsidecar(folder, "run", "-c", "c.yaml", "--burst")
    with sqlite3.connect(folder / "tasks.db") as tables:
        tables.execute(
            "update grid_async_task_tasks set started_at = strftime('%Y-%m-%d %H:%M:%S', started_at), "
            "completed_at = strftime('%Y-%m-%d %H:%M:%S', started_at)"
        )
    tables.close()
    listed = gridsidecar(folder, "tasks", "list", "-c", "c.yaml").stdout.decode()
    assert re.search(r" 0\.[3-9] s", listed), listed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "invented"),
        ("data", "[" * 900 + "]" * 900),
        ("data", "[" * 100_000 + "]" * 100_000),
        ("result", '"\\ud83c \\u001b[2J \\u202e"'),
        ("error_message", "\x1b[2J\u202e\x9b2J"),
        ("data", "no JSON"),
    ],
    ids=["status", "deep", "very deep", "escapes", "steering", "text"],
)
def test_status_shows_rows_that_others_wrote(folder: Path, column: str, value: str) -> None:
    gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "x", "--id", "t")
    gridsidecar(folder, "run", "-c", "c.yaml", "--burst")
    with sqlite3.connect(folder / "tasks.db") as tables:
        tables.execute(f"update grid_async_task_tasks set {column} = ?", (value,))
    tables.close()
    for command in ("status t", "status t --json", "tasks list", "tasks list --json", "stats"):
        done = gridsidecar(folder, *command.split(), "-c", "c.yaml")
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1)
        for line in done.stdout.decode().splitlines():
            assert line.isprintable()
        if "--json" in command:
            json.loads(done.stdout)


def test_a_server_that_says_ok_to_everything_is_no_database(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=say_ok, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        settings = f"store: {{url: 'mysql://u:p@127.0.0.1:{port}/x'}}\nhandlers: {{default: {{command: ['true']}}}}\n"
        (folder / "ok.yaml").write_text(f"broker: {{url: 'sqlite:///{folder}/queue.db'}}\n{settings}")
        for command in ("stats", "tasks list", "migrate"):
            done = gridsidecar(folder, *command.split(), "-c", "ok.yaml")
            assert done.returncode == 77
            assert b"gives no rows, so it is no database" in done.stderr


def say_ok(server: socket.socket) -> None:
    capabilities = (0xFFFF & ~0x820, 0x8 | 0x1)  # neither TLS nor compression
    greeting = b"\x0a8.0.36\0" + bytes((1, 0, 0, 0)) + b"12345678\0" + capabilities[0].to_bytes(2, "little")
    greeting += bytes((45, 2, 0)) + capabilities[1].to_bytes(2, "little") + bytes((21,)) + bytes(10)
    greeting += b"123456789012\0mysql_native_password\0"
    ok = bytes((0, 0, 0, 2, 0, 0, 0))
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            while packet := client.recv(65536):
                client.sendall(len(ok).to_bytes(3, "little") + bytes((packet[3] + 1,)) + ok)
