"""What a handler says, seen while it says it: from elsewhere, across retries and deaths, in floods and outages."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.support.cli import end, gridsidecar
from tests.support.cli import start as start_command
from tests.support.place import TASKS, Place
from tests.support.services import private_mysql
from tests.support.waiting import eventually

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
MOST_STORED = 4 * 64 * KIBIBYTE  # bytes of one attempt
TICKS = """
import os, sys, time
attempt, number = os.environ["GRIDSIDECAR_ATTEMPT"], 0
while not os.path.exists(os.environ["GATE"]):
    number += 1
    sys.stdout.buffer.write(f"{attempt} tick {number} \\U0001F600 \\u0439\\n".encode())
    sys.stdout.flush()
    time.sleep(0.1)
sys.exit(3 if attempt in os.environ.get("FAILS", "") else 0)
"""
TURNS = """
import json, sys, time
print(json.dumps({"gs": 1, "type": "ready"}), flush=True)
for line in sys.stdin:
    task = json.loads(line)
    if task.get("type") == "task":
        for _ in range(60):
            print("this is", task["task_id"], flush=True)
            time.sleep(0.1)
        print(json.dumps({"gs": 1, "type": "result", "task_id": task["task_id"], "result": 1}), flush=True)
"""


def ticks(place: Place, **env: str) -> dict[str, Any]:
    """A handler that says a line every tenth of a second until the gate is open."""
    handler = place.handler(sys.executable, "-c", TICKS)
    return {**handler, "env": {**handler["env"], "GATE": str(place.folder / "gate"), "LC_ALL": "C.UTF-8", **env}}


def open_gate(place: Place) -> None:
    (place.folder / "gate").touch()


def asking(place: Place, config: dict[str, Any]) -> Path:
    """A folder in which commands find the sidecar's servers, and nothing else of it."""
    folder = place.folder / "elsewhere"
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps(config))
    return folder


def logs(folder: Path, *arguments: str) -> dict[str, Any]:
    done = gridsidecar(folder, "logs", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(text: str | None) -> list[str]:
    return (text or "").splitlines()


def parts(place: Place) -> dict[str, int]:
    """How many parts are stored, and their bytes."""
    sizes = [int(row["size"]) for row in place.fetch(f"SELECT LENGTH(bytes) AS size FROM {TASKS}_output")]
    return {"n": len(sizes), "size": sum(sizes)}


async def test_a_task_is_watched_while_it_runs(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config({"default": ticks(place)}, worker={"name": "pod-1"})
    folder = asking(place, config)
    start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "running")
    first = gridsidecar(folder, "logs", "t")
    assert first.returncode == 0
    assert re.search(r"attempt 1 of task t runs on pod-1(, and nothing that it said has come yet)?\n$", first.stderr)
    await eventually(lambda: "1 tick 20" in (logs(folder, "t")["log_head"] or ""))
    found = logs(folder, "t")
    assert (found["running"], found["outcome"], found["worker"], found["log_dropped"]) == (True, None, "pod-1", 0)
    heard = lines(found["log_head"])
    assert heard == [f"1 tick {number} 😀 й" for number in range(1, len(heard) + 1)]
    shown = gridsidecar(folder, "status", "t").stdout
    assert re.search(r"^worker    pod-1\nsays      1 tick \d+ 😀 й$", shown, re.MULTILINE)
    open_gate(place)
    await eventually(lambda: place.status("t") == "success")
    whole = lines(logs(folder, "t")["log_head"])
    assert whole[: len(heard)] == heard
    assert parts(place) == {"n": 0, "size": 0}
    assert [(entry["outcome"], entry["worker_name"]) for entry in place.attempts("t")] == [("success", "pod-1")]


ENDS = {1: "failed", 2: "success"}


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
async def test_it_is_followed_from_before_its_start_across_a_retry(
    embedded_place: Place, start: Start, flags: list[str]
) -> None:
    place = embedded_place
    config = place.config({"default": ticks(place, FAILS="1")}, worker={"name": "pod-1"}, retry={"delay": 1})
    folder = asking(place, config)
    with ExitStack() as stack:
        out = stack.enter_context((folder / "out").open("w"))
        err = stack.enter_context((folder / "err").open("w"))
        following = start_command(folder, "logs", "-f", "t", *flags, stdout=out, stderr=err)
        stack.callback(end, following)
        if not flags:  # else it may come to look when the task runs
            await eventually(lambda: "waiting for task t" in (folder / "err").read_text())
        start(config)
        await place.publish({"task_id": "t", "max_retry_count": 1})
        await eventually(lambda: "1 tick 15 " in (folder / "out").read_text())
        open_gate(place)
        await eventually(lambda: place.attempts("t"))
        (place.folder / "gate").unlink()
        await eventually(lambda: "2 tick 15 " in (folder / "out").read_text())
        open_gate(place)
        await eventually(lambda: following.poll() is not None)
        assert following.returncode == 0
    words, text = (folder / "err").read_text(), (folder / "out").read_text()
    if flags:
        pieces = [json.loads(line) for line in text.splitlines()]
        assert [piece["outcome"] for piece in pieces if "outcome" in piece] == ["failed", "success"]
        assert pieces[-1]["task_status"] == "success"
        text = "".join(piece["text"] for piece in pieces if "text" in piece)
    else:
        waits = [line for line in words.splitlines() if line.startswith("waiting for task t: ")]
        assert waits[0].endswith("it is not known yet; a worker makes it known when it takes it from the queue")
        assert len(waits) <= 2, "the other one is the retry"
        said = [line for line in words.splitlines() if line not in waits]
        assert said == [
            f"attempt {number} {end}" for number in (1, 2) for end in ("on pod-1", f"ended: {ENDS[number]}")
        ]
    whole = "".join(logs(folder, "t", "--attempt", number)["log_head"] for number in "12")
    assert text == whole


async def test_who_follows_in_vain_leaves_quietly(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    config = place.config({"default": ticks(place)})
    folder = asking(place, config)
    start(config)
    await place.publish({"task_id": "t"}, {"task_id": ""})
    await eventually(lambda: place.status("t") == "running")
    following = start_command(folder, "logs", "-f", "t")
    await eventually(lambda: logs(folder, "t")["log_head"])
    time.sleep(1)  # it is to be in the middle of something
    following.send_signal(2)
    out, err = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "Traceback" not in out + err
    open_gate(place)
    await eventually(lambda: place.status("t") == "success")
    done = gridsidecar(folder, "logs", "-f", "t", "--attempt", "5")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "task t has ended without attempt 5\n"
    assert gridsidecar(folder, "logs", "t", "--attempt", "5").stderr == "task t has no attempt 5; there is 1\n"


async def test_a_killed_worker_takes_the_last_seconds_at_most(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config({"default": ticks(place)}, worker={"lease": 2, "max_crashes": 0})
    folder = asking(place, config)
    one = start({**config, "worker": {**config["worker"], "name": "pod-1"}})
    await place.publish({"task_id": "t", "callback_url": "http://127.0.0.1:9/"})
    await eventually(lambda: len(lines(logs_or_none(folder))) >= 30)
    known = len(lines(logs(folder, "t")["log_head"]))
    one.die()
    open_gate(place)
    two = start(config)
    await eventually(lambda: place.status("t") == "failed", timeout=60)
    left = lines(logs(folder, "t")["log_head"])
    assert left == [f"1 tick {number} 😀 й" for number in range(1, len(left) + 1)]
    assert len(left) >= known
    told = gridsidecar(folder, "logs", "t")
    assert lines(told.stdout) == left
    assert (
        "attempt 1 of task t was lost with its worker, pod-1: the last seconds before that may be missing"
        in told.stderr
    )
    taken = [line for line in two.text.splitlines() if "task taken over from a dead worker" in line]
    assert len(taken) == 1
    assert re.search(r"task_id=t attempt=1 worker=pod-1 silent_for=\d+\.\d$", taken[0])
    row = place.row("t")
    assert row["error_type"] == "WorkerLost"
    assert row["error_message"].endswith("the last time on pod-1")
    assert "the last time on pod-1" in place.callbacks("t")[0]["body"]
    assert "pod-1" in gridsidecar(folder, "status", "t").stdout


def logs_or_none(folder: Path) -> str | None:
    done = gridsidecar(folder, "logs", "t", "--json")
    return json.loads(done.stdout)["log_head"] if done.returncode == 0 else None


@pytest.mark.alone
@pytest.mark.timeout(180)
async def test_a_flood_fills_no_table_and_is_not_slowed_down(any_place: Place, start: Start) -> None:
    """The first second of an attempt is not stored, so a short flood is the measure of a long one."""
    place = any_place
    flood = (
        "import os, sys, time\nstarted = time.time()\nfor _ in range({mib}): os.write(1, (b'x' * 1023 + b'\\n') * 1024)"
    )
    handlers = {
        name: place.handler(sys.executable, "-c", flood.format(mib=mib))
        for name, mib in (("short", 200), ("long", 2000))
    }
    start(place.config(handlers, log={"level": "INFO"}))
    most: dict[str, int] = {"n": 0, "size": 0}

    async def took(name: str, number: int) -> float:
        """Seconds."""
        task_id = f"{name}{number}"
        await place.publish({"task_id": task_id, "task_type": name})

        def over() -> bool:
            found = parts(place)
            most.update({key: max(most[key], found[key]) for key in most})
            return place.status(task_id) == "success"

        await eventually(over, timeout=100, interval=0.1)
        (entry,) = place.attempts(task_id)
        assert entry["log_dropped"] > 190 * MEBIBYTE
        return seconds(place, task_id)

    short = min([await took("short", number) for number in range(3)])
    long = await took("long", 0)
    print(f"200 MiB in {short:.2f} s, 2000 MiB in {long:.2f} s; stored at most {most}")
    assert most["n"] > 0, "it was stored while it ran"
    assert most["size"] <= MOST_STORED
    assert most["n"] <= 8
    assert long < 10 * short * 2.5


def seconds(place: Place, task_id: str) -> float:
    """From start to end of its attempt."""
    (entry,) = place.attempts(task_id)
    start, end = (datetime.fromisoformat(str(entry[name])) for name in ("started_at", "ended_at"))
    return max(0.05, (end - start).total_seconds())


@pytest.mark.timeout(180)
async def test_a_database_that_is_away_is_told_later(amqp_url: str, queue: str, tmp_path: Path, start: Start) -> None:
    with private_mysql() as server:
        name = f"gs_{secrets.token_hex(4)}"
        execute_on_server(server.url, f"create database {name}")
        place = Place(amqp_url, f"{server.url}{name}", queue, tmp_path)
        config = place.config({"default": ticks(place)})
        folder = asking(place, config)
        sidecar = start(config)
        await place.publish({"task_id": "t"})
        await eventually(lambda: len(lines(logs_or_none(folder))) >= 10)
        server.kill()
        await sidecar.said("output not stored yet")
        server.start()
        back = time.monotonic()
        heard = lines(await eventually(lambda: longer(folder, 30), timeout=40))
        print(f"{len(heard)} lines {time.monotonic() - back:.1f} s after it was back")
        assert heard == [f"1 tick {number} 😀 й" for number in range(1, len(heard) + 1)]
        open_gate(place)
        await eventually(lambda: place.status("t") == "success", timeout=40)
        assert lines(logs(folder, "t")["log_head"])[: len(heard)] == heard
        assert parts(place)["n"] == 0


def longer(folder: Path, least: int) -> str | None:
    text = logs_or_none(folder)
    return text if len(lines(text)) >= least else None


@pytest.mark.timeout(180)
async def test_short_tasks_store_nothing_before_their_end_and_a_refusal_fails_nobody(
    embedded_place: Place, start: Start
) -> None:
    place = embedded_place
    config = place.config({"default": place.job("say", "hello"), "long": ticks(place)}, worker={"concurrency": 4})
    sidecar = start(config)
    await sidecar.ready()
    place.execute(f"CREATE TRIGGER no BEFORE INSERT ON {TASKS}_output BEGIN SELECT RAISE(ABORT, 'not allowed'); END")
    await place.publish(*({"task_id": f"t{number}"} for number in range(500)))
    await eventually(lambda: place.all_ended(500), timeout=120, interval=0.2)
    refused = "output cannot be stored while the task runs"
    assert not sidecar.says(refused)
    await place.publish({"task_id": "long", "task_type": "long"})
    await sidecar.said(refused)
    open_gate(place)
    await eventually(lambda: place.status("long") == "success")
    assert sidecar.text.count(refused) == 1
    assert "1 tick 5 " in place.attempts("long")[0]["log_head"]


async def test_the_text_of_a_process_that_stays_is_its_tasks_own(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    handler = place.handler(sys.executable, "-c", TURNS, mode="persistent")
    config = place.config({"default": handler})
    folder = asking(place, config)
    start(config)
    await place.publish({"task_id": "t0"}, {"task_id": "t1"})
    for task_id in ("t0", "t1"):
        await eventually(lambda task_id=task_id: place.status(task_id) == "running")  # type: ignore[misc]
        await eventually(lambda task_id=task_id: live(place, folder, task_id))  # type: ignore[misc]
    await eventually(lambda: place.all_ended(2))
    for task_id in ("t0", "t1"):
        assert place.attempts(task_id)[0]["log_head"] == f"this is {task_id}\n" * 60
    assert parts(place)["n"] == 0


def live(place: Place, folder: Path, task_id: str) -> bool:
    found = logs(folder, task_id)
    assert set(lines(found["log_head"])) <= {f"this is {task_id}"}
    return bool(found["log_head"])


async def test_each_of_several_processes_stores_what_its_tasks_say(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config(
        {"default": ticks(place)},
        worker={"processes": 2, "concurrency": 4, "name": "pod"},
        log={"handler_output": True},
    )
    folder = asking(place, config)
    sidecar = start(config)
    await sidecar.ready(processes=2)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    for number in range(4):
        await eventually(lambda number=number: len(lines(text_of(folder, f"t{number}"))) >= 5)  # type: ignore[misc]
    names = {logs(folder, f"t{number}")["worker"] for number in range(4)}
    assert names == {"pod-1", "pod-2"}
    open_gate(place)
    await eventually(lambda: place.all_ended(4))
    assert parts(place)["n"] == 0
    for number in range(4):
        told = re.findall(rf'handler output  task_id=t{number} attempt=1 stream=stdout line="(.*)"', sidecar.text)
        assert told == lines(place.attempts(f"t{number}")[0]["log_head"])


def text_of(folder: Path, task_id: str) -> str | None:
    done = gridsidecar(folder, "logs", task_id, "--json")
    return json.loads(done.stdout)["log_head"] if done.returncode == 0 else None


# -- in the worker's own log ------------------------------------------------------------------------------------------


async def test_lines_of_handlers_are_lines_of_the_log(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    script = (
        """echo "one two"; echo '{"gs":1,"type":"log","level":"info","message":"an event"}'; """
        """echo '{"gs":1,"type":"progress","progress":5}'; echo three >&2; printf '\\377\\033[31m\\n'; printf end"""
    )
    sidecar = start(
        place.config(
            {"default": place.handler("sh", "-c", script), "loud": place.handler("seq", "1", "300000")},
            log={"handler_output": True, "format": "json", "level": "INFO"},
        )
    )
    await place.publish({"task_id": "t"}, {"task_id": "loud", "task_type": "loud"})
    await eventually(lambda: place.all_ended(2))
    await sidecar.said("left out of the log")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    events = [json.loads(line) for line in sidecar.text.splitlines()]
    told = [event for event in events if event["event"] == "handler output"]
    ours = [event for event in told if event["task_id"] == "t"]
    assert [event["line"] for event in ours if event["stream"] == "stdout"] == ["one two", "\ufffd\x1b[31m", "end"]
    assert [event["line"] for event in ours if event["stream"] == "stderr"] == ["three"]
    assert [event["line"] for event in ours if event["stream"] == "log"] == ["an event"]
    assert {(event["attempt"], event["level"]) for event in ours} == {(1, "info")}
    left_out = sum(event["lines"] for event in events if event["event"] == "handler output left out of the log")
    assert len(told) - len(ours) + left_out == 300_000
    assert 500 <= len(told) <= 10_000
    assert [event["task_id"] for event in events if event["event"] == "task success"] == ["t", "loud"]


@pytest.mark.timeout(180)
async def test_a_log_that_nobody_reads_holds_no_handler_that_floods(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    far, near = os.pipe()
    heard = bytearray()

    def read() -> None:
        while data := os.read(far, 65536):
            heard.extend(data)

    reader = threading.Thread(target=read)
    try:
        config = place.config(
            {"default": place.handler("seq", "1", "3000000")}, log={"handler_output": True}, worker={"concurrency": 2}
        )
        sidecar = start(config, stderr=near)
        await place.publish(*({"task_id": f"t{number}"} for number in range(48)))
        await eventually(lambda: place.all_ended(48), timeout=120)
    finally:
        os.close(near)
        reader.start()
    await eventually(lambda: b"stderr takes lines again" in heard)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    reader.join(30)
    os.close(far)
    assert b"handler output" in heard
