"""Cancel and retry from the command line while sidecars run: in every state of a task, and thousands at once."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import test_ahead
from tests.e2e.conftest import Start
from tests.e2e.test_persistent import alive, handler
from tests.support.cli import Finished, gridsidecar, on_terminal
from tests.support.cli import start as start_command
from tests.support.place import TASKS, Place
from tests.support.proxy import proxied
from tests.support.waiting import eventually
from tests.support.web import Web, web_server

PROMISED = 2.0  # seconds until the worker of a running task is told
LONG_AGO = "2001-01-01 00:00:00.000"
CANCEL = ("tasks", "cancel", "--status", "retrying", "--yes")
TREE = """
trap '' TERM
sh -c 'trap "" TERM; echo $$$$ >> "$${JOURNAL}.tree"; while :; do sleep 1; done' &
echo $$$$ >> "$${JOURNAL}.tree"
while :; do sleep 1; done
"""


def configure(place: Place, handlers: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """What the sidecar and the commands run with."""
    config = place.config(handlers, **sections)
    (place.folder / "config.yaml").write_text(json.dumps(config))
    return config


def run(place: Place, *arguments: str) -> Finished:
    return gridsidecar(place.folder, *arguments)


async def tasks(place: Place, *arguments: str) -> Finished:
    """`gridsidecar tasks …`, while the test's own servers go on."""
    return await asyncio.to_thread(run, place, "tasks", *arguments)


def outcomes(done: Finished) -> dict[str, str]:
    return {line["task_id"]: line["outcome"] for line in map(json.loads, done.stdout.splitlines())}


async def cancelled(place: Place, *ids: str) -> None:
    """All of them, by now."""
    await eventually(lambda: all(place.status(task_id) == "cancelled" for task_id in ids))


async def running(place: Place, *ids: str) -> None:
    await eventually(lambda: all(place.status(task_id) == "running" for task_id in ids), timeout=30)


def rows_by_hand(place: Place, count: int, **columns: Any) -> None:
    """Tasks as their first attempt left them, beside the line: they are many."""
    known = {"status": "failed", "attempt": 1, "queue": place.queue, "headers": "{}", "error_type": "Boom"} | columns
    for first in range(0, count, 500):
        some = [f"m{number:05d}" for number in range(first, min(first + 500, count))]
        values = ", ".join([f"({', '.join('?' * (len(known) + 4))})"] * len(some))
        place.execute(
            f"insert into {TASKS} (id, created_at, updated_at, body, {', '.join(known)}) values {values}",
            *(
                value
                for name in some
                for value in (name, LONG_AGO, LONG_AGO, json.dumps({"task_id": name}).encode(), *known.values())
            ),
        )


# -- one task, in every state -----------------------------------------------------------------------------------------


async def test_a_running_task_is_told_within_two_seconds_with_all_it_started(any_place: Place, start: Start) -> None:
    place = any_place
    tree = place.handler("sh", "-c", TREE, kill_grace=0.3)
    start(configure(place, {"default": tree}))
    await place.publish({"task_id": "t"})
    pids = Path(f"{place.journal.path}.tree")
    await eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    done = await tasks(place, "cancel", "t")
    asked_at = time.monotonic()
    assert (done.returncode, done.stdout) == (0, "t  runs, its worker is told\n"), done.stderr
    await eventually(lambda: place.status("t") == "cancelled")
    took = time.monotonic() - asked_at
    assert not any(alive(int(pid)) for pid in pids.read_text().split())
    assert took < PROMISED + 1.5, took  # its grace, and a machine that is busy
    assert [one["outcome"] for one in place.attempts("t")] == ["cancelled"]


async def test_a_persistent_handler_that_can_is_told_and_stays(any_place: Place, start: Start) -> None:
    place = any_place
    start(configure(place, {"default": handler(place, "ready-cancel", kill_grace=20)}))
    await place.publish({"task_id": "t", "data": {"do": "until_cancelled"}})
    await running(place, "t")
    await asyncio.to_thread(run, place, "tasks", "cancel", "t")
    await cancelled(place, "t")
    (pid,) = place.journal.path.read_text().split()
    assert alive(int(pid))
    await place.publish({"task_id": "next", "data": {"do": "echo"}})
    await eventually(lambda: place.status("next") == "success")


async def test_waiting_tasks_end_at_once_and_everybody_is_told(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        told = {"callback_url": f"{web.url}/done"}
        notes = [{"type": "webhook", "url": f"{web.url}/note", "on": ["cancelled"], "interval": 0}]
        config = configure(
            place,
            {"default": place.job("exit", 3)},
            retry={"max_retries": 3, "delay": 60},
            worker={"lease": 2},
            callbacks={"allow": ["127.0.0.1"]},
        )
        sidecar = start({**config, "notify": notes})
        await place.publish({"task_id": "retrying", **told}, {"task_id": "delayed", "defer_by": 60, **told})
        await eventually(lambda: (place.status("retrying"), place.status("delayed")) == ("retrying", "pending"))
        done = await tasks(place, "cancel", "retrying", "delayed", "--json")
        assert outcomes(done) == {"retrying": "cancelled", "delayed": "cancelled"}
        assert place.statuses() == {"cancelled": 2}
        await eventually(lambda: len(arrived(web, "/done")) == 2)
        await eventually(lambda: all(noticed(web, one) for one in ("retrying", "delayed")))
        sidecar.terminate()
        await sidecar.ended()
        assert len(arrived(web, "/done")) == 2
        assert [noticed(web, one) for one in ("retrying", "delayed")] == [1, 1]


def noticed(web: Web, task_id: str) -> int:
    """Notices that name this task; one may name several."""
    return sum(f'"{task_id}"'.encode() in one.body for one in arrived(web, "/note"))


def arrived(web: Web, path: str) -> list[Any]:
    return [one for one in web.requests if one.path == path]


async def test_a_task_that_is_not_there_yet_never_runs(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        config = configure(
            place, {"default": place.job("done")}, callbacks={"allow": ["127.0.0.1"]}, worker={"lease": 2}
        )
        done = await tasks(place, "cancel", "later")
        assert (done.returncode, done.stdout) == (0, "later  not known yet, will not run when it comes\n"), done.stderr
        message = {"task_id": "later", "task_type": "mail", "data": 7, "callback_url": f"{web.url}/done"}
        await place.publish(message, message)
        sidecar = start(config)
        await eventually(lambda: arrived(web, "/done"))
        await sidecar.said("task cancelled")
        await eventually(lambda: place.left() == 0)
        row = place.row("later")
        assert (row["status"], row["attempt"], row["task_type"], row["data"]) == ("cancelled", 0, "mail", "7")
        assert (place.journal.runs(), len(arrived(web, "/done"))) == ([], 1)


async def test_what_was_claimed_ahead_never_starts(any_place: Place, start: Start) -> None:
    place = any_place
    config = test_ahead.one_at_a_time(place)
    (place.folder / "config.yaml").write_text(json.dumps(config))
    await test_ahead.warmed(place, start, config)
    ids = await test_ahead.behind_a_long_one(place, 60)
    done = await tasks(place, "cancel", *ids)
    assert done.returncode == 0, done.stderr
    await cancelled(place, *ids)
    assert place.status("long") == "running"


async def test_several_processes_each_hear_of_theirs(any_place: Place, start: Start) -> None:
    place = any_place
    config = configure(place, {"default": place.job("for", 120)}, worker={"processes": 2, "concurrency": 4})
    sidecar = start(config)
    await sidecar.ready(processes=2)
    ids = [f"t{number}" for number in range(4)]
    await place.publish(*({"task_id": task_id} for task_id in ids))
    await running(place, *ids)
    await tasks(place, "cancel", *ids)
    await cancelled(place, *ids)


async def test_what_was_handed_off_or_lost_its_worker_is_cancelled(any_place: Place, start: Start) -> None:
    place = any_place
    config = configure(place, {"default": place.job("for", 120)}, worker={"lease": 2}, broker={"consumer_timeout": 4})
    sidecar = start(config)
    await place.publish({"task_id": "t"})
    await running(place, "t")
    await eventually(lambda: place.row("t")["handed_off"] == 1)
    sidecar.die()
    done = await tasks(place, "cancel", "t", "--json")
    assert outcomes(done) == {"t": "asked"}
    start(config)
    await cancelled(place, "t")
    assert [one["outcome"] for one in place.attempts("t")] == ["lost"]
    assert place.journal.started == ["t"]


# -- retry by hand ----------------------------------------------------------------------------------------------------


async def test_what_failed_runs_again_and_what_did_not_is_left_alone(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    words = place.handler("sh", "-c", f"cat > /dev/null; test -e {gate}")
    config = configure(place, {"default": words, "good": place.job("done")}, retry={"max_retries": 0})
    start(config)
    await place.publish({"task_id": "bad"}, {"task_id": "good", "task_type": "good"})
    await eventually(lambda: place.all_ended(2))
    gate.touch()
    done = await tasks(place, "retry", "bad", "good", "nobody", "--json")
    assert outcomes(done) == {"bad": "retried", "good": "wrong_state:success", "nobody": "not_found"}
    assert done.returncode == 1
    await eventually(lambda: place.status("bad") == "success")
    assert (place.row("bad")["attempt"], place.row("good")["attempt"]) == (2, 1)


async def test_a_retry_holds_while_the_broker_is_away(place: Place, start: Start) -> None:
    start(configure(place, {"default": place.job("flaky", 2)}, retry={"max_retries": 0}, worker={"lease": 2}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed")
    away = place.config({"default": place.job("done")}, broker={"url": "amqp://guest:guest@127.0.0.1:9/"})
    (place.folder / "config.yaml").write_text(json.dumps(away))
    done = await tasks(place, "retry", "t")
    assert done.returncode == 0
    assert "the broker is away" in done.stderr
    assert place.status("t") == "pending"
    place.execute(f"update {TASKS} set next_check_at = next_run_at where id = 't'")  # nobody waits for the minute
    await eventually(lambda: place.status("t") == "success", timeout=40)


# -- many -------------------------------------------------------------------------------------------------------------


async def test_a_filter_is_counted_confirmed_and_carried_out(any_place: Place, start: Start) -> None:
    place = any_place
    start(configure(place, {"default": place.job("done")}))
    await eventually(lambda: place.fetch(f"select 1 from {TASKS}_workers"))
    rows_by_hand(place, 30)
    place.execute(f"update {TASKS} set error_type = 'Other' where id < 'm00010'")
    unasked = await tasks(place, "retry", "--error-type", "Boom")
    assert unasked.returncode == 64
    assert "needs --yes" in unasked.stderr
    dry = await tasks(place, "retry", "--error-type", "Boom", "--dry-run", "--json")
    assert outcomes(dry) == {f"m{number:05d}": "retried" for number in range(10, 30)}
    assert place.statuses() == {"failed": 30}
    code, said = await asyncio.to_thread(
        on_terminal, place.folder, "tasks", "retry", "--error-type", "Boom", answers={"[y/N]": "n"}
    )
    assert (code, place.statuses()) == (1, {"failed": 30})
    assert "retry 20 tasks" in said
    done = await tasks(place, "retry", "--error-type", "Boom", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert len(outcomes(done)) == 20
    await eventually(lambda: place.statuses() == {"failed": 10, "success": 20})
    listed = await asyncio.to_thread(run, place, "operations", "list", "--json")
    (operation,) = map(json.loads, listed.stdout.splitlines())
    assert (operation["state"], operation["tasks"], operation["kind"]) == ("ended", 20, "retry")
    shown = await asyncio.to_thread(run, place, "operations", "show", operation["operation"], "--json")
    assert json.loads(shown.stdout.splitlines()[0])["outcomes"] == {"retried": 20}


@pytest.mark.timeout(300)
async def test_ten_thousand_are_cancelled_while_workers_work(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(configure(place, {"default": place.job("done")}, worker={"concurrency": 4, "lease": 5}))
    await sidecar.ready()
    rows_by_hand(place, 10_000, status="retrying", next_run_at="2099-01-01 00:00:00", callback_url="http://x.test/")
    flow = asyncio.create_task(stream(place))
    began = time.monotonic()
    words = ("tasks", "cancel", "--status", "retrying", "--yes", "--json")
    done = await asyncio.to_thread(gridsidecar, place.folder, *words, limit=180)
    print(f"{time.monotonic() - began:.1f} s")
    assert done.returncode == 0, done.stderr
    assert set(outcomes(done).values()) == {"cancelled"}
    assert len(outcomes(done)) == 10_000
    flow.cancel()
    sent = len(place.rows()) - 10_000
    assert sent > 0
    assert place.fetch(f"select count(*) as n from {TASKS}_callbacks")[0]["n"] == 10_000
    before = place.statuses().get("success", 0)
    await place.publish({"task_id": "last"})
    await eventually(lambda: place.status("last") == "success")
    assert place.statuses()["success"] > before
    assert not sidecar.says("kept deadlocking")
    await eventually(lambda: not untold(place), timeout=60)


def untold(place: Place) -> int:
    asked = f"select count(*) as n from {TASKS} where status = 'cancelled' and next_check_at is not null"
    return int(place.fetch(asked)[0]["n"])


async def stream(place: Place) -> None:
    """Tasks without end."""
    number = 0
    while True:
        await place.publish({"task_id": f"s{number}"})
        number += 1
        await asyncio.sleep(0.05)


async def test_an_operation_whose_process_is_killed_is_finished_by_a_worker(any_place: Place, start: Start) -> None:
    place = any_place
    config = configure(place, {"default": place.job("done")}, worker={"lease": 3})
    first = start(config)
    await first.ready()
    rows_by_hand(place, 5000, status="retrying", next_run_at="2099-01-01 00:00:00")
    first.terminate()
    await first.ended()
    command = start_command(place.folder, *CANCEL, failpoints="operation_stepped:kill")
    command.communicate()
    assert (command.returncode, set(place.statuses())) == (-signal.SIGKILL, {"cancelled", "retrying"})
    place.execute(f"update {TASKS}_operations set driven_until = '{LONG_AGO}'")  # nobody waits for its lease
    sidecar = start(config)
    await sidecar.said("an operation was finished for a process that is gone")
    assert place.statuses() == {"cancelled": 5000}
    rows = place.fetch(f"select outcome, count(*) as n from {TASKS}_operation_ids group by outcome")
    assert [(row["outcome"], row["n"]) for row in rows] == [("cancelled", 5000)]


async def test_what_was_broken_off_says_how_it_goes_on(any_place: Place, start: Start) -> None:
    place = any_place
    configure(place, {"default": place.job("done")})
    assert run(place, "migrate").returncode == 0
    rows_by_hand(place, 5000, status="retrying", next_run_at="2099-01-01 00:00:00")
    command = start_command(place.folder, *CANCEL, failpoints="operation_stepped:pause=60")
    await eventually(lambda: place.statuses().get("cancelled", 0) > 0)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate()
    assert command.returncode == 130, said
    assert "gridsidecar operations resume op_" in said
    operation = place.fetch(f"select id from {TASKS}_operations")[0]["id"]
    left = place.statuses()["retrying"]
    done = run(place, "operations", "resume", operation, "--json")
    assert done.returncode == 0, done.stderr
    assert len(outcomes(done)) == left
    assert place.statuses() == {"cancelled": 5000}
    again = run(place, "operations", "resume", operation)
    assert (again.returncode, "has ended" in again.stderr) == (1, True)


async def test_starts_are_spread(any_place: Place, start: Start) -> None:
    place = any_place
    start(configure(place, {"default": place.job("done")}))
    await eventually(lambda: place.fetch(f"select 1 from {TASKS}_workers"))
    rows_by_hand(place, 10)
    done = await tasks(place, "retry", "--all", "--over", "5s", "--yes")
    assert done.returncode == 0, done.stderr
    await eventually(lambda: place.statuses() == {"success": 10}, timeout=30)
    started = sorted(run_.started for run_ in place.journal.runs())
    assert started[-1] - started[0] > 3


# -- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give ids of tasks, or a filter; all tasks need --all"),
        (("t", "--status", "failed"), "ids and filters exclude each other"),
        (("t", "--all"), "ids and filters exclude each other"),
        (("--all", "--type", "x"), "--all and other filters exclude each other"),
        (("--since", "1h", "--until", "2h"), "--since is not before --until"),
        (("--since", "tomorrow"), "--since 'tomorrow' is no time"),
        (("--status", "success"), "--status success: it can be"),
        (("",), "an id of a task has 1 to 255 characters"),
        (("--until", "1000000000000d"), "--until '1000000000000d' is no time"),
    ],
)
def test_absurd_wishes_are_refused(embedded_place: Place, arguments: tuple[str, ...], words: str) -> None:
    configure(embedded_place, {"default": embedded_place.job("done")})
    for command in ("cancel", "retry"):
        done = run(embedded_place, "tasks", command, *arguments)
        assert done.returncode == 64, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("over", ["0s", "-1m", "soon", "9999999d", ""])
def test_an_absurd_spread_is_refused(embedded_place: Place, over: str) -> None:
    configure(embedded_place, {"default": embedded_place.job("done")})
    done = run(embedded_place, "tasks", "retry", "t", f"--over={over}")
    assert done.returncode == 64, done.stderr
    assert "--over" in done.stderr


def test_unknown_operations(embedded_place: Place) -> None:
    configure(embedded_place, {"default": embedded_place.job("done")})
    for migrated in (False, True):
        if migrated:
            assert run(embedded_place, "migrate").returncode == 0
        for command in ("show", "resume", "stop"):
            done = run(embedded_place, "operations", command, "op_none")
            assert (done.returncode, "no operation op_none" in done.stderr) == (1, True), done.stderr


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_database_that_is_away_is_told_and_nothing_is_done(place: Place) -> None:
    configure(place, {"default": place.job("done")}, store={"url": "mysql://root@127.0.0.1:9/x"})
    done = run(place, "tasks", "cancel", "t")
    assert (done.returncode, done.stdout) == (69, "")


async def test_a_database_that_goes_away_in_the_middle_leaves_the_rest_to_a_worker(place: Place, start: Start) -> None:
    config = configure(place, {"default": place.job("done")}, worker={"lease": 3})
    assert run(place, "migrate").returncode == 0
    rows_by_hand(place, 5000, status="retrying", next_run_at="2099-01-01 00:00:00")
    async with proxied(place.store_url) as (proxy, url):
        configure(place, {"default": place.job("done")}, store={"url": url})
        command = start_command(place.folder, "tasks", "cancel", "--status", "retrying", "--yes")
        await eventually(lambda: begun(place))
        await proxy.refuse()
        _, said = await asyncio.to_thread(command.communicate)
    assert command.returncode == 69, said
    assert "gridsidecar operations resume op_" in said
    assert place.statuses()["retrying"] > 0
    place.execute(f"update {TASKS}_operations set driven_until = '{LONG_AGO}'")  # nobody waits for its lease
    sidecar = start(config)
    await sidecar.said("an operation was finished for a process that is gone")
    assert place.statuses() == {"cancelled": 5000}


async def test_a_worker_that_was_cut_off_hears_of_a_cancel_when_it_is_back(place: Place, start: Start) -> None:
    async with proxied(place.store_url) as (proxy, url):
        configure(place, {"default": place.job("done")})
        assert run(place, "migrate").returncode == 0
        sidecar = start(place.config({"default": place.job("for", 120)}, store={"url": url}))
        await sidecar.ready()
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.journal.started == ["t"])
        await proxy.refuse()
        await sidecar.said("not ready")
        assert outcomes(await tasks(place, "cancel", "t", "--json")) == {"t": "asked"}
        assert place.status("t") == "running"
        await proxy.listen()
        await cancelled(place, "t")
        sidecar.terminate()
        await sidecar.ended()


async def begun(place: Place) -> bool:
    """Asked from another thread: the proxy lives in this one."""
    return (await asyncio.to_thread(place.statuses)).get("cancelled", 0) > 0
