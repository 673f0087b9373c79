"""`gridsidecar tasks`, `logs`, `stats` and `callbacks`, on rows that real runs have made; no sidecar runs meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.settings import StoreSettings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.store import Outbox, make_store
from tests.support.cli import Finished, end, gridsidecar, on_terminal, start, work, write_config
from tests.support.waiting import eventually

KIBIBYTE = 1024
TARGET = "http://user:secret@127.0.0.1:9/done"
HOSTILE = "\x1b]0;owned\x07\x9b31m\u202e"
HANDLERS: dict[str, dict[str, Any]] = {
    "good": {"command": ["sh", "-c", "cat > /dev/null; printf 'one\\ttwo\\r\\n\\033[31mred\\n'; echo end >&2"]},
    "bad": {"command": ["sh", "-c", 'echo "no luck in attempt $GRIDSIDECAR_ATTEMPT" >&2; exit 3']},
    "quiet": {"command": ["true"]},
    "flood": {"command": ["sh", "-c", "seq 1 100000"]},
    "slow": {
        "command": [
            "sh",
            "-c",
            'echo \'{"gs":1,"type":"progress","progress":30,"progress_message":"three of ten"}\';'
            ' until [ -e "$GATE" ]; do sleep 0.02; done',
        ]
    },
}


@pytest.fixture
def folder(tmp_path: Path, store_url: str) -> Path:
    handlers = {**HANDLERS, "slow": {**HANDLERS["slow"], "env": {"GATE": str(tmp_path / "gate")}}}
    write_config(tmp_path, handlers, store={"url": store_url}, worker={"name": "w\x1b1"}, callbacks={"max_retries": 0})
    return tmp_path


def submit(folder: Path, *tasks: dict[str, Any]) -> None:
    done = gridsidecar(folder, "submit", "-", stdin="\n".join(map(json.dumps, tasks)))
    assert done.returncode == 0, done.stderr


def ran(folder: Path, *tasks: dict[str, Any]) -> None:
    """A worker has done what it could with these, one run after the other."""
    submit(folder, *tasks)
    work(folder)


def objects(done: Finished) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(folder: Path, *flags: str) -> list[str]:
    return [task["task_id"] for task in objects(gridsidecar(folder, "tasks", "list", "--json", *flags))]


# -- tasks ------------------------------------------------------------------------------------------------------------


def test_tasks_are_listed_newest_first_and_chosen(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "good"})
    between = datetime.now(UTC)
    ran(folder, {"task_id": "b", "task_type": "bad", "max_retry_count": 1})
    ran(folder, {"task_id": "c", "task_type": "bad"})
    assert listed(folder) == ["c", "b", "a"]
    assert listed(folder, "--type", "bad") == ["c", "b"]
    assert listed(folder, "--status", "failed") == ["c"]
    assert listed(folder, "--type", "good", "--status", "failed") == []
    assert listed(folder, "--limit", "2") == ["c", "b"]
    assert listed(folder, "--since", between.isoformat()) == ["c", "b"]
    assert listed(folder, "--since", between.replace(tzinfo=None).isoformat()) == ["c", "b"]  # TZ is UTC here
    assert listed(folder, "--since", "2h") == listed(folder, "--since", "2020-01-31") == ["c", "b", "a"]
    assert listed(folder, "--since", (between + timedelta(days=2)).date().isoformat()) == []
    (task,) = objects(gridsidecar(folder, "tasks", "list", "--json", "--status", "retrying"))
    assert (task["attempt"], task["error_type"], task["task_type"]) == (1, "HandlerExit", "bad")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task["created_at"])


def test_the_list_in_plain_text(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "good"})
    ran(folder, {"task_id": "b", "task_type": "bad"})
    done = gridsidecar(folder, "tasks", "list")
    assert (done.returncode, done.stderr) == (0, "")
    moment = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    head, failed, success = done.stdout.splitlines()
    assert head.split() == ["task", "type", "status", "created", "took", "details"]
    assert re.fullmatch(rf"b     bad   failed   {moment}  [0-9.]+ s  HandlerExit: no luck in attempt 1", failed)
    assert re.fullmatch(rf"a     good  success  {moment}  [0-9.]+ s", success)
    done = gridsidecar(folder, "tasks", "list", "--limit", "1")
    assert len(done.stdout.splitlines()) == 2
    assert re.fullmatch(r"there are more than these 1: --after \w+, or a larger --limit\n", done.stderr)


def test_the_list_by_all_that_can_be_asked_for(folder: Path) -> None:
    ran(
        folder, *({"task_id": f"{kind}-{number}", "task_type": kind} for kind in ("good", "bad") for number in range(3))
    )
    ran(folder, {"task_id": "last", "task_type": "quiet"})
    assert listed(folder, "--type", "good", "--type", "quiet", "--limit", "2") == ["last", "good-2"]
    assert len(listed(folder, "--status", "failed", "--status", "success")) == 7
    assert listed(folder, "--status", "running", "--status", "pending") == []
    assert set(listed(folder, "--error-type", "HandlerExit")) == {"bad-0", "bad-1", "bad-2"}
    assert listed(folder, "--error-type", "HandlerExit", "--type", "quiet") == []
    assert listed(folder, "--id-prefix", "good-1") == ["good-1"]
    assert listed(folder, "--id-prefix", "last", "--queue", "task_queue") == ["last"]
    assert listed(folder, "--id-prefix", "last", "--queue", "another") == []
    assert listed(folder, "--until", "1h") == []
    assert len(listed(folder, "--until", "2999-01-01", "--since", "1h")) == 7


def test_the_list_goes_on_where_it_ended(folder: Path) -> None:
    ran(folder, *({"task_id": f"t{number}", "task_type": "quiet"} for number in range(5)))
    ids: list[str] = []
    flags: list[str] = []
    for _ in range(3):
        done = gridsidecar(folder, "tasks", "list", "--json", "--limit", "2", *flags)
        ids += [task["task_id"] for task in objects(done)]
        said = re.search(r"--after (\w+)", done.stderr)
        flags = ["--after", said[1]] if said else []
    assert sorted(ids) == [f"t{number}" for number in range(5)]
    assert flags == []
    done = gridsidecar(folder, "tasks", "list", "--after", "unknown")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "gridsidecar: --after unknown: there is no such task (any more)\n"
    many = [word for number in range(21) for word in ("--type", str(number))]
    assert gridsidecar(folder, "tasks", "list", *many).returncode == 64


def test_the_list_fits_a_terminal_and_nothing_steers_it(folder: Path) -> None:
    words = f'echo "{HOSTILE} a long story of what went wrong" >&2; exit 1'
    config = json.loads((folder / "config.yaml").read_text())
    config["handlers"]["hostile"] = {"command": ["sh", "-c", words]}
    (folder / "config.yaml").write_text(json.dumps(config))
    ran(folder, {"task_id": "a\u2066b", "task_type": "hostile"}, {"task_id": "c" * 32, "task_type": "good"})
    code, written = on_terminal(folder, "tasks", "list", env={"NO_COLOR": "1"})
    assert code == 0
    assert "failed" in written
    assert "a\\u2066b" in written
    assert not {"\x07", "\x9b", "\u202e", "\u2066"} & set(written)
    assert "\x1b]" not in written
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written).replace("\r", "")
    assert max(map(len, plain.splitlines())) <= 80
    assert len(plain.strip().splitlines()) == 3
    assert re.search(r"^c{32}  good     success  \d\d:\d\d:\d\d  ", plain, re.MULTILINE)
    code, written = on_terminal(folder, "tasks", "list")
    assert "\x1b[31mfailed" in written
    assert "\x1b[32msuccess" in written
    assert code == 0


def test_show_is_status(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "bad"})
    shown, status = gridsidecar(folder, "tasks", "show", "a"), gridsidecar(folder, "status", "a")
    assert (shown.returncode, shown.stdout) == (status.returncode, status.stdout)
    assert shown.returncode == 1
    assert gridsidecar(folder, "tasks", "show", "missing").stderr.startswith("no task missing in ")


def test_a_bad_since_is_a_usage_error(tmp_path: Path) -> None:
    write_config(tmp_path, HANDLERS)
    for command in (["tasks", "list"], ["stats"]):
        done = gridsidecar(tmp_path, *command, "--since", "yesterday")
        assert (done.returncode, done.stdout) == (64, "")
        assert done.stderr.startswith("gridsidecar: --since 'yesterday' is no time; write 30m, ")


def test_wrong_choices_are_usage_errors(tmp_path: Path) -> None:
    write_config(tmp_path, HANDLERS)
    assert gridsidecar(tmp_path, "tasks", "list", "--status", "done").returncode == 64
    assert gridsidecar(tmp_path, "tasks", "list", "--limit", "0").returncode == 64
    assert gridsidecar(tmp_path, "callbacks", "replay").returncode == 64
    assert gridsidecar(tmp_path, "callbacks", "replay", "--dead", "a").returncode == 64
    assert gridsidecar(tmp_path, "logs").returncode == 64


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["tasks", "list"], 0),
        (["tasks", "show", "a"], 1),
        (["logs", "a"], 1),
        (["stats"], 0),
        (["callbacks", "list"], 0),
        (["callbacks", "replay", "a"], 1),
        (["callbacks", "replay", "--dead"], 0),
    ],
)
def test_looking_makes_no_file_and_a_store_that_is_away_is_told(tmp_path: Path, command: list[str], code: int) -> None:
    write_config(tmp_path, HANDLERS)
    done = gridsidecar(tmp_path, *command)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "q.db").exists()
    write_config(tmp_path, HANDLERS, store={"url": "mysql://root@127.0.0.1:1/db"})
    done = gridsidecar(tmp_path, *command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (69, "", 1)


def test_bytes_that_are_no_text_are_a_usage_error(folder: Path) -> None:
    ran(folder, {"task_id": "a"})
    for command in (["tasks", "list", "--type"], ["status"], ["logs"], ["callbacks", "replay"]):
        done = gridsidecar(folder, *command, os.fsdecode(b"\xff"))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1), done.stderr


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_are_shown_with_what_would_steer_a_terminal_escaped(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "good"})
    done = gridsidecar(folder, "logs", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["\\x1b[31mred", "end", "one\ttwo"]
    (shown,) = objects(gridsidecar(folder, "logs", "a", "--json"))
    assert (shown["task_id"], shown["attempt"], shown["outcome"], shown["log_dropped"]) == ("a", 1, "success", 0)
    assert sorted(shown["log_head"].splitlines()) == ["\x1b[31mred", "end", "one\ttwo"]
    assert shown["stderr_tail"] == "end\n"


async def test_logs_of_one_attempt_or_the_last(folder: Path) -> None:
    config = json.loads((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(json.dumps({**config, "retry": {"delay": 0}}))
    submit(folder, {"task_id": "a", "task_type": "bad", "max_retry_count": 1})
    await eventually(lambda: work(folder) and listed(folder, "--status", "failed"))
    assert gridsidecar(folder, "logs", "a").stdout == "no luck in attempt 2\n"
    assert gridsidecar(folder, "logs", "a", "--attempt", "1").stdout == "no luck in attempt 1\n"
    for arguments, words in (
        (["a", "--attempt", "3"], "task a has no attempt 3; there is 1, 2\n"),
        (["missing"], "no task missing in "),
    ):
        done = gridsidecar(folder, "logs", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(words)


def test_long_logs_say_what_is_left_out(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "flood"}, {"task_id": "b", "task_type": "quiet"})
    everything = "".join(f"{number}\n" for number in range(1, 100_001))
    done = gridsidecar(folder, "logs", "a")
    found = re.fullmatch(r"(.*)\n\[\.\.\. ([0-9,]+) bytes left out \.\.\.\]\n(.*)", done.stdout, re.DOTALL)
    assert found is not None
    head, dropped, tail = found[1], int(found[2].replace(",", "")), found[3]
    assert everything.startswith(head)
    assert everything.endswith(tail)
    assert len(tail) == 64 * KIBIBYTE
    assert len(everything) - 64 * KIBIBYTE - dropped - len(head) in (0, 1)  # a line end before the gap is shown once
    done = gridsidecar(folder, "logs", "b")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "attempt 1 of task b said nothing\n")


# -- stats ------------------------------------------------------------------------------------------------------------


async def test_stats_count_tasks_callbacks_and_workers(folder: Path) -> None:
    ran(
        folder,
        {"task_id": "a", "task_type": "quiet"},
        {"task_id": "b", "task_type": "quiet"},
        {"task_id": "c", "task_type": "bad", "callback_url": TARGET},
    )
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "worker.log").open("w"))
        stack.callback(end, start(folder, "run", stderr=log))
        stack.callback((folder / "gate").touch)
        submit(folder, {"task_id": "d", "task_type": "slow"})
        await eventually(lambda: listed(folder, "--status", "running"))
        (figures,) = objects(gridsidecar(folder, "stats", "--json"))
        plain = gridsidecar(folder, "stats").stdout
        code, written = on_terminal(folder, "stats", env={"NO_COLOR": "1"})
        running = gridsidecar(folder, "tasks", "list", "--status", "running").stdout
    assert figures["statuses"] == {"success": 2, "failed": 1, "running": 1}
    assert figures["at_least"] == []
    assert not any(entry["at_least"] for entry in figures["tasks"])
    counts = {(entry["task_type"], entry["status"]): entry for entry in figures["tasks"]}
    assert {pair: entry["count"] for pair, entry in counts.items()} == {
        ("quiet", "success"): 2,
        ("bad", "failed"): 1,
        ("slow", "running"): 1,
    }
    assert 0 <= counts["quiet", "success"]["seconds"] < 60
    assert counts["slow", "running"]["seconds"] is None
    assert sum(figures["callbacks"].values()) == 1
    assert [(one["name"], one["running"]) for one in figures["workers"] if one["alive"]] == [("w\x1b1", 1)]

    assert re.search(r"^success  2$", plain, re.MULTILINE)
    assert re.search(r"^quiet  success  2      [0-9.]+ s$", plain, re.MULTILINE)
    assert re.search(r"^callbacks  \d owed, \d dead, \d delivered$", plain, re.MULTILINE)
    assert re.search(
        r"^workers    1 alive\n  w\\x1b1  queue task_queue  1 of 1 running  \d\S+  since 20", plain, re.MULTILINE
    )
    assert code == 0
    assert re.search(r"success +2  (\x1b\[[0-9;]*m)*━{40}", written)
    assert re.search(r"failed +1  (\x1b\[[0-9;]*m)*━{20}", written)
    assert re.search(r"^d +slow +running .* 30 %, three of ten$", running, re.MULTILINE)


def test_stats_since(folder: Path) -> None:
    ran(folder, {"task_id": "a", "task_type": "quiet"})
    (figures,) = objects(gridsidecar(folder, "stats", "--json", "--since", "1h"))
    assert figures["statuses"] == {"success": 1}
    (figures,) = objects(gridsidecar(folder, "stats", "--json", "--since", "2999-01-01T00:00:00+01:00"))
    assert (figures["since"], figures["statuses"], figures["tasks"]) == ("2998-12-31T23:00:00Z", {}, [])
    assert gridsidecar(folder, "stats", "--since", "2999-01-01").stdout.startswith("no tasks\n")


# -- callbacks --------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def outbox(store_url: str) -> AsyncIterator[Outbox]:
    """As the sender of callbacks uses it."""
    store = make_store(StoreSettings(url=store_url), "task_queue")
    await store.open()
    try:
        yield store.outbox
    finally:
        await store.close()


async def given_up(folder: Path, store_url: str, error: str) -> None:
    """Whoever sends callbacks has tried each, and given it up for this reason."""
    async with outbox(store_url) as owed:
        for one in callbacks(folder):
            assert await owed.replay(one["id"]) == 1
        for callback in (await owed.take(60)).callbacks:
            assert await owed.failed(callback, error, None)


def callbacks(folder: Path, *flags: str) -> list[dict[str, Any]]:
    return objects(gridsidecar(folder, "callbacks", "list", "--json", *flags))


def owing(folder: Path, *ids: str) -> None:
    """Tasks that ended, with somebody who wants to hear of it."""
    for one in ids:
        ran(folder, {"task_id": one, "task_type": "quiet", "callback_url": TARGET})


async def test_callbacks_are_listed_with_their_state(folder: Path, store_url: str) -> None:
    owing(folder, "a", "b")
    await given_up(folder, store_url, f"HTTP 500 {HOSTILE}")
    async with outbox(store_url) as owed:
        assert await owed.replay("a") == 1
    assert [(one["task_id"], one["state"], one["kind"]) for one in callbacks(folder)] == [
        ("b", "dead", "http"),
        ("a", "owed", "http"),
    ]
    assert [one["task_id"] for one in callbacks(folder, "--dead")] == ["b"]
    assert [one["task_id"] for one in callbacks(folder, "--task", "a")] == ["a"]
    assert [one["task_id"] for one in callbacks(folder, "--limit", "1")] == ["b"]
    (shown,) = callbacks(folder, "--dead")
    assert (shown["failures"], shown["last_error"]) == (1, f"HTTP 500 {HOSTILE}")
    assert shown["tries"] >= 1
    assert shown["id"].startswith("cb_")
    done = gridsidecar(folder, "callbacks", "list", "--dead")
    assert "secret" not in done.stdout
    row = r"^b     dead   \d      20.* UTC  http://user:\*\*\*@127\.0\.0\.1:9/done  HTTP 500 \\x1b"
    assert re.search(row, done.stdout, re.MULTILINE)
    code, written = on_terminal(folder, "callbacks", "list", env={"NO_COLOR": "1"})
    assert code == 0
    assert not {"\x07", "\x9b", "\u202e"} & set(written)
    assert gridsidecar(folder, "callbacks", "list", "--task", "missing").stderr == "no such callbacks\n"


async def test_replayed_callbacks_are_owed_again(folder: Path, store_url: str) -> None:
    owing(folder, "a", "b", "c")
    await given_up(folder, store_url, "refused")
    by_task = {one["task_id"]: one["id"] for one in callbacks(folder, "--dead")}
    assert set(by_task) == {"a", "b", "c"}
    done = gridsidecar(folder, "callbacks", "replay", "a", by_task["b"], "missing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "no callback of a task missing, and none with this id",
        "2 callbacks to be sent again",
    ]
    assert [one["task_id"] for one in callbacks(folder, "--dead")] == ["c"]
    done = gridsidecar(folder, "callbacks", "replay", "--dead")
    assert (done.returncode, done.stderr) == (0, "1 callback to be sent again\n")
    assert {one["state"] for one in callbacks(folder)} == {"owed"}
    assert {one["failures"] for one in callbacks(folder)} == {0}
    async with outbox(store_url) as owed:
        assert {one.task_id for one in (await owed.take(60)).callbacks} == {"a", "b", "c"}


async def test_status_shows_the_callbacks_of_a_task(folder: Path, store_url: str) -> None:
    owing(folder, "a")
    ran(folder, {"task_id": "b", "task_type": "quiet"})
    await given_up(folder, store_url, "HTTP 500")
    (shown,) = objects(gridsidecar(folder, "status", "a", "--json"))
    assert [(one["state"], one["last_error"]) for one in shown["callbacks"]] == [("dead", "HTTP 500")]
    assert "body" not in shown["callbacks"][0]
    line = r"^callback  dead, (1 try|\d tries), to http://user:\*\*\*@127\.0\.0\.1:9/done: HTTP 500$"
    assert re.search(line, gridsidecar(folder, "tasks", "show", "a").stdout, re.MULTILINE)
    _, written = on_terminal(folder, "status", "a", env={"NO_COLOR": "1"})
    assert re.search(r"dead, (1 try|\d tries), to http://user:\*\*\*@127\.0\.0\.1:9/done", written)
    (shown,) = objects(gridsidecar(folder, "status", "b", "--json"))
    assert shown["callbacks"] == []
    assert "callback" not in gridsidecar(folder, "status", "b").stdout


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_before_any_worker_there_is_nothing_and_who_makes_the_tables_is_told(
    tmp_path: Path, store_url: str, lang: str
) -> None:
    write_config(tmp_path, HANDLERS, store={"url": store_url})
    if store_url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(sqlite_path(store_url))) as file:  # somebody else's file
            file.execute("CREATE TABLE others (a)")
    expected = {
        ("tasks", "list"): 0,
        ("tasks", "show", "a"): 1,
        ("tasks", "cancel", "--type", "good", "--yes"): 0,
        ("tasks", "retry", "a"): 1,
        ("logs", "a"): 1,
        ("stats",): 0,
        ("callbacks", "list"): 0,
        ("callbacks", "replay", "a"): 1,
        ("operations", "list"): 0,
        ("operations", "show", "a"): 1,
        ("resume", "good"): 1,
    }
    words = {"en": "WARNING there are no tables yet", "zh": "WARNING 数据表还不存在"}[lang]
    for arguments, code in expected.items():
        done = gridsidecar(tmp_path, "--lang", lang, *arguments)
        assert (done.returncode, words in done.stderr, "1146" in done.stderr) == (code, True, False), (arguments, done)
    done = gridsidecar(tmp_path, "submit", "--type", "good", "--id", "a")
    assert (done.returncode, done.stderr) == (0, ""), "it makes them"
    assert "no tables" not in gridsidecar(tmp_path, "tasks", "list").stderr
