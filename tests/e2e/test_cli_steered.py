"""What the commands say of tasks that are paused, were stopped, run again or wait for something, and of operations."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.settings import StoreSettings
from gridsidecar.rules.task import Status
from gridsidecar.store import Filter, OperationKind, make_store
from tests.e2e.conftest import Start
from tests.support.cli import Finished, environment, gridsidecar
from tests.support.cli import start as start_command
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

TIMES = ("created_at", "updated_at", "started_at")
ONCE = {"retry": {"max_retries": 0}}


def configure(place: Place, handlers: dict[str, Any], **sections: Any) -> dict[str, Any]:
    config = place.config(handlers, **sections)
    (place.folder / "config.yaml").write_text(json.dumps(config))
    return config


def run(place: Place, *arguments: str) -> Finished:
    return gridsidecar(place.folder, *arguments)


def objects(done: Finished) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# -- tasks ------------------------------------------------------------------------------------------------------------


async def test_a_task_that_a_pause_keeps_says_so(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(configure(place, {"default": place.job("done"), "calm": place.job("done")}))
    await sidecar.ready()
    for arguments in (["calm", "--until", "2h", "--reason", "a move"], ["until-resumed"]):
        assert (await asyncio.to_thread(run, place, "pause", *arguments)).returncode == 0
    await eventually(lambda: sidecar.text.count("task type paused") == 2)
    await place.publish(
        {"task_id": "kept", "task_type": "calm"},
        {"task_id": "later", "task_type": "calm", "defer_by": 3000},
        {"task_id": "still", "task_type": "until-resumed"},
        {"task_id": "free", "task_type": "other"},
    )
    await eventually(lambda: len(place.rows()) == 4 and place.status("free") == "success")

    shown = {
        one["task_id"]: one["paused"] for one in objects(await asyncio.to_thread(run, place, "tasks", "list", "--json"))
    }
    assert (shown["later"], shown["free"]) == (None, None)
    assert (shown["kept"]["reason"], shown["kept"]["cool_down"], shown["still"]["until_at"]) == ("a move", None, None)
    assert datetime.fromisoformat(shown["kept"]["until_at"]) > datetime.now(UTC)
    listed = (await asyncio.to_thread(run, place, "tasks", "list")).stdout
    assert re.search(r"kept .*paused until \d{4}-\d\d-\d\d ", listed)
    assert re.search(r"still .*paused until resumed", listed)
    assert re.search(r"later .*starts in ", listed)
    status = await asyncio.to_thread(run, place, "status", "kept")
    assert re.search(r"^paused    until \d{4}-.*, since \d{4}-.*: a move$", status.stdout, re.M)
    assert "next run" not in status.stdout
    assert objects(await asyncio.to_thread(run, place, "status", "--json", "kept"))[0]["paused"] == shown["kept"]
    assert "has no attempt yet: paused until" in (await asyncio.to_thread(run, place, "logs", "kept")).stderr
    assert re.search(r"^calm +pending +2 +paused$", (await asyncio.to_thread(run, place, "stats")).stdout, re.M)

    following = start_command(place.folder, "logs", "--follow", "kept")
    try:
        assert following.stderr is not None
        told = await asyncio.to_thread(following.stderr.readline)
        assert told.startswith("waiting for task kept: paused until 2")
        await asyncio.to_thread(run, place, "resume", "calm")
        await eventually(lambda: place.status("kept") == "success")
        _, rest = await asyncio.to_thread(following.communicate, timeout=30)
        assert "waiting" not in rest, "once"
    finally:
        following.kill()
    assert objects(await asyncio.to_thread(run, place, "status", "--json", "kept"))[0]["paused"] is None


async def test_what_a_breaker_keeps_says_when_it_is_tried(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    bad = place.job("exit", 1, breaker={"failures": 1, "cool_down": 3000}, **ONCE)
    sidecar = start(configure(place, {"bad": bad}, worker={"concurrency": 1}))
    await place.publish({"task_id": "a", "task_type": "bad"})
    await sidecar.said("task type paused")
    await place.publish({"task_id": "b", "task_type": "bad"})
    await eventually(lambda: place.statuses() == {"failed": 1, "pending": 1})
    await eventually(lambda: re.search("paused by a breaker, tried at 2", run(place, "tasks", "list").stdout))


async def test_the_error_of_an_earlier_attempt_is_not_that_of_this_one(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    switch = place.folder / "mended"
    script = f"test -e {switch} && sleep 60; echo broken >&2; exit 1"
    start(configure(place, {"default": place.handler("sh", "-c", script, **ONCE)}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed")
    assert "\nerror     HandlerExit: broken\n" in run(place, "status", "t").stdout
    switch.touch()
    await asyncio.to_thread(run, place, "tasks", "retry", "t")
    await eventually(lambda: place.status("t") == "running")
    assert "\nerror     HandlerExit: broken (of an earlier attempt)\n" in run(place, "status", "t").stdout


async def test_times_are_those_of_attempts(embedded_place: Place, start: Start) -> None:
    """The waiting between attempts, and that before a cancel, is nobody's work."""
    place = embedded_place
    policies = {"default": {"max_retries": 1, "delay": 3}, "slow": {"max_retries": 1, "delay": 600}}
    start(configure(place, {name: place.job("exit", 1, retry=policy) for name, policy in policies.items()}))
    await place.publish({"task_id": "t"}, {"task_id": "u", "task_type": "slow"})
    await eventually(lambda: place.statuses().get("retrying") == 2)
    await asyncio.sleep(1.5)
    await asyncio.to_thread(run, place, "tasks", "cancel", "u")
    await eventually(lambda: place.status("t") == "failed", timeout=30)
    for task_id, words in (("t", r"^took      [01]\.\d s in 2 attempts$"), ("u", r"^took      [01]\.\d s$")):
        assert re.search(words, run(place, "status", task_id).stdout, re.M), run(place, "status", task_id).stdout
    assert re.search(r"^u +slow +cancelled +\S+ \S+ UTC$", run(place, "tasks", "list").stdout, re.M)
    assert re.search(r"^slow +cancelled +1$", run(place, "stats").stdout, re.M)


def test_what_never_began_says_so(embedded_place: Place) -> None:
    place = embedded_place
    configure(place, {"default": place.job("done")})
    assert run(place, "tasks", "cancel", "t").returncode == 0
    logs = run(place, "logs", "t")
    assert (logs.returncode, logs.stderr) == (1, "task t is cancelled; no attempt of it ever began\n")
    assert "\nattempt   none, it never began\n" in run(place, "status", "t").stdout


def test_what_an_earlier_system_ran_says_so(place: Place) -> None:
    configure(place, {"default": place.job("done")})
    assert run(place, "migrate").returncode == 0
    for status in ("failed", "running", "retrying"):
        row = {"id": status, "task_type": "old", "status": status, **dict.fromkeys(TIMES, "2026-01-31 12:00:00")}
        marks = ", ".join("?" * len(row))
        place.execute(f"insert into {TASKS} ({', '.join(row)}) values ({marks})", *row.values())
    logs = run(place, "logs", "failed").stderr
    assert logs == "task failed is failed; an earlier system ran it, its output is not here\n"
    assert "\nattempt   none here, an earlier system ran it\n" in run(place, "status", "failed").stdout
    assert "\nattempt   none here, an earlier system runs it\n" in run(place, "status", "running").stdout
    assert re.search(r"^retrying .* retry now$", run(place, "tasks", "list").stdout, re.M)
    assert re.search(r"^retrying .* 立即重试$", run(place, "tasks", "list", "--lang", "zh").stdout, re.M)


@pytest.mark.parametrize("arguments", [("logs", "--follow"), ("status", "--watch")])
def test_who_waits_for_an_unknown_task_is_told(embedded_place: Place, arguments: tuple[str, ...]) -> None:
    place = embedded_place
    configure(place, {"default": place.job("done")})
    process = start_command(place.folder, *arguments, "t")
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting for task t: it is not known yet; a worker makes it known")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()


# -- operations -------------------------------------------------------------------------------------------------------


async def test_an_operation_shows_how_far_it_is_and_what_came_of_it(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    config = configure(place, {"default": place.job("exit", 1, **ONCE), "good": place.job("done")})
    start(config)
    await place.publish({"task_id": "a"}, {"task_id": "b"}, {"task_id": "c", "task_type": "good"})
    await eventually(lambda: place.all_ended(3))
    done = await asyncio.to_thread(run, place, "tasks", "retry", "a", "b", "c", "--over", "1s")
    assert done.stderr.splitlines()[-1] == "3 tasks: 2 to run again; 1 left alone, being success"
    (line,) = objects(run(place, "operations", "list", "--json"))
    assert (line["tasks"], line["done"]) == (3, 3)
    # It is `starting` until the last of them is due.
    await eventually(lambda: objects(run(place, "operations", "list", "--json"))[0]["state"] == "ended")
    assert re.search(r"retry +\S+ \S+ UTC +ended +3/3 +3 ids$", run(place, "operations", "list").stdout, re.M)
    shown = run(place, "operations", "show", line["operation"]).stdout
    for words in (
        r"^over +1\.0 s: the starts are spread over it$",
        r"^ended +\d{4}-",
        r"^done +3/3$",
        r"^ +2 to run again$",
        r"^ +1 left alone, being success$",
    ):
        assert re.search(words, shown, re.M), shown
    assert "wrong_state" not in shown


async def test_one_that_still_looks_for_its_tasks_says_so(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    start(configure(place, {"default": place.job("exit", 1, **ONCE)}))
    await place.publish({"task_id": "a"})
    await eventually(lambda: place.status("a") == "failed")
    store = make_store(StoreSettings(url=place.store_url), place.queue)
    await store.open()
    try:
        operation = await store.operations.begin(
            OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue=place.queue)
        )
        assert re.search(r"looking for its tasks +0, 0 found so far", run(place, "operations", "list").stdout)
        (line,) = objects(run(place, "operations", "list", "--json"))
        assert (line["operation"], line["collected"], line["done"]) == (operation, False, 0)
        stopped = run(place, "operations", "stop", operation)
        assert stopped.stderr == "stopped; 0 tasks stay as they are\n"
    finally:
        await store.close()


def test_a_dry_run_reads_as_one(embedded_place: Place) -> None:
    place = embedded_place
    configure(place, {"default": place.job("done")})
    run(place, "tasks", "cancel", "a", "b")
    done = run(place, "tasks", "cancel", "a", "x", "--dry-run")
    assert done.stderr == (
        "a dry run, nothing was changed; of 2 tasks: 1 left alone, being cancelled; "
        "1 not known yet, not to run when their messages come\n"
    )


async def test_ids_that_no_task_can_have_refuse_no_other(any_place: Place) -> None:
    """Also where they are so many that it is a stored operation."""
    place = any_place
    configure(place, {"default": place.job("done")})
    ids = [f"m{number}" for number in range(501)]
    done = await asyncio.to_thread(run, place, "tasks", "cancel", "x" * 300, *ids, "--json")
    assert done.returncode == 1, done.stderr
    found = {one["task_id"]: one["outcome"] for one in objects(done)}
    assert found == {"x" * 300: "not_found"} | dict.fromkeys(ids, "noted")
    alone = await asyncio.to_thread(run, place, "tasks", "retry", "x" * 300, "--over", "1m")
    assert (alone.returncode, alone.stderr) == (1, "1 task: 1 unknown\n")


async def test_who_runs_a_task_of_an_earlier_system_cannot_be_told(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(configure(place, {"default": place.job("done")}))
    await sidecar.ready()
    now = "2026-01-01 00:00:00.000"
    columns = "id, task_type, status, created_at, updated_at, started_at"
    place.execute(f"insert into {TASKS} ({columns}) values ('old', 'x', 'running', '{now}', '{now}', '{now}')")
    for flags, words in (((), "noted, should its message come back"), (("--dry-run",), "cannot be told")):
        done = await asyncio.to_thread(run, place, "tasks", "cancel", "old", *flags)
        assert done.returncode == 1
        assert done.stdout.startswith("old  an earlier system runs it and cannot be told")
        assert words in done.stdout
    assert place.row("old")["cancel_requested"] == 1
    done = await asyncio.to_thread(run, place, "operations", "list", "-n", "99999999999999999999")
    assert done.returncode == 64


async def test_a_retry_that_no_handler_takes_here_says_so(any_place: Place) -> None:
    place = any_place
    work = ("run", "--burst", "--burst-check-interval", "0.1")
    configure(place, {"known": place.job("done")})
    for name in ("typo", "other"):
        assert run(place, "submit", "--id", name, "--type", "knwon").returncode == 0
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    assert place.status("typo") == place.status("other") == "failed"
    hint = "no handler of this configuration takes the type knwon; it runs only where a worker has one\n"
    assert "没有处理类型 knwon 的 handler" in run(place, "--lang", "zh", "tasks", "retry", "typo", "--dry-run").stderr
    for flags in (
        ("typo", "--dry-run"),
        ("--status", "failed", "--dry-run"),
        ("typo",),
        ("--status", "failed", "--yes"),
    ):
        done = run(place, "tasks", "retry", *flags)
        assert done.returncode == 0, done.stderr
        assert done.stderr.endswith(hint)
        assert done.stderr.count(hint) == 1
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    assert place.status("typo") == "failed"
    configure(place, {"known": place.job("done"), "knwon": place.job("done")})
    assert hint not in run(place, "tasks", "retry", "typo").stderr
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    assert place.status("typo") == "success"


# -- letters ----------------------------------------------------------------------------------------------------------


async def test_letters_know_what_became_of_their_tasks(any_place: Place) -> None:
    place = any_place
    work = ("run", "--burst", "--burst-check-interval", "0.1")
    configure(place, {"known": place.job("done")})
    bad = [json.dumps({"task_id": name, "task_type": "new"}).encode() for name in ("a", "b")]
    await place.publish_bodies(*bad)
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    replayed = run(place, "dead", "replay", "a")
    assert replayed.returncode == 0
    assert (
        "a: this configuration has no handler for its type new; it runs only where a worker has one" in replayed.stderr
    )
    configure(place, {"known": place.job("done"), "new": place.job("done")})
    await place.publish_bodies(bad[0])
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    assert place.status("a") == "success"
    configure(place, {"known": place.job("done")})
    await place.publish_bodies(bad[0])  # once more, to those who have no handler for it
    assert (await asyncio.to_thread(run, place, *work)).returncode == 0
    listed = objects(run(place, "dead", "list", "--json"))
    assert {(one["task_id"], one["task_status"]) for one in listed} == {("a", "success"), ("b", "failed")}
    assert re.search(r"^a .* success +unknown-task-type", run(place, "dead", "list").stdout, re.M)
    assert run(place, "dead", "drop", "--succeeded").returncode == 64, "nobody can be asked"
    assert run(place, "dead", "drop", "--succeeded", "--all", "--yes").returncode == 64
    dropped = run(place, "dead", "drop", "--succeeded", "--yes")
    assert (dropped.returncode, dropped.stdout, dropped.stderr) == (0, "a\n" * dropped.stdout.count("a"), "1 dropped\n")
    assert [one["task_id"] for one in objects(run(place, "dead", "list", "--json"))] == ["b"]


def test_letters_are_listed_without_a_store(place: Place) -> None:
    config = place.config({"default": place.job("done")})
    for store, words in (
        (None, "no dead letters"),
        ({"url": "mysql://root@127.0.0.1:9/x"}, "no dead letters"),
        ({"url": "nonsense"}, "store.url"),
    ):
        (place.folder / "config.yaml").write_text(json.dumps(config | {"store": store}))
        done = run(place, "dead", "list", "--config", "config.yaml")
        assert words in done.stderr
        assert (done.returncode == 0) == (words != "store.url")


# -- the program itself -----------------------------------------------------------------------------------------------


def test_ctrl_c_at_any_moment_of_the_start_prints_no_traceback(tmp_path: Path) -> None:
    """From the moment on in which the first of our modules is loaded; before that there is only Python."""
    loud = """if True:
        import sys
        from gridsidecar.__main__ import main
        class Loud:
            def find_spec(self, name, path=None, target=None):
                if name == "gridsidecar.cli":
                    print("here", flush=True)
        sys.meta_path.insert(0, Loud())
        main()
    """
    seen = set()
    for wait in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-c", loud, "version", "--help"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)  # the moment is what is tried here
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        seen.add(process.returncode)
        assert "Traceback" not in said, said
    assert 130 in seen
    assert seen <= {0, 130, -signal.SIGINT}


def test_ctrl_c_while_a_class_is_made_is_no_error(tmp_path: Path) -> None:
    interrupted = """if True:
        import sys
        from gridsidecar.__main__ import main
        class Named:
            def __set_name__(self, owner, name):
                raise KeyboardInterrupt
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "gridsidecar.cli":
                    type("Owner", (), {"attribute": Named()})
        sys.meta_path.insert(0, Finder())
        main()
    """
    ended = subprocess.run(
        [sys.executable, "-c", interrupted, "version"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr) == (130, "")
