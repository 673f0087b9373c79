"""Every way to leave: within its limits, with exit code 0, and without losing a message."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.servers import free_port
from tests.support.sidecar import SOON
from tests.support.waiting import eventually

# -- signals ----------------------------------------------------------------------------------------------------------


async def test_a_signal_while_the_one_task_runs_gives_it_the_grace(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}), "--once")
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    await sidecar.said("leaving")
    sidecar.terminate()
    with pytest.raises(AssertionError):
        await eventually(lambda: place.status("t") != "running", timeout=1.5)
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.status("t") == "success"


async def test_once_leaves_an_empty_queue_when_idle(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": place.job("done")}, worker={"idle_timeout": 1}), "--once")
    assert await sidecar.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_running_attempts_finish(any_place: Place, start: Start, number: signal.Signals) -> None:
    place = any_place
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 2}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(3)))
    await eventually(lambda: len(place.journal.started) == 2)
    sidecar.signal(number)
    await sidecar.said("leaving")
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 2}
    assert place.left() == 1, "what was not started belongs to the queue"


async def test_nothing_starts_while_the_broker_is_told_that_we_leave(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"concurrency": 2})
    sidecar = start(config, failpoints="draining:pause=1")
    await place.publish(*({"task_id": f"t{index}"} for index in range(3)))
    await eventually(lambda: len(place.journal.started) == 2)
    sidecar.terminate()
    await sidecar.said("leaving")
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 2}
    assert place.left() == 1


async def test_what_outlasts_the_grace_is_interrupted_and_done_by_the_next(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"shutdown_grace": 0.5, "concurrency": 2})
    first = start(config)
    await place.publish({"task_id": "t0"}, {"task_id": "t1"})
    await eventually(lambda: len(place.journal.started) == 2)
    first.terminate()
    assert await first.ended() == 0
    for task_id in ("t0", "t1"):
        row = place.row(task_id)
        assert (row["status"], row["attempt"], row["interruptions"]) == ("pending", 1, 1)
        assert (row["retry_count"], row["crashes"]) == (0, 0)
        assert [entry["outcome"] for entry in place.attempts(task_id)] == ["interrupted"]
    assert place.left() == 2
    gate.touch()
    second = start(config)
    await eventually(lambda: place.all_ended(2))
    assert place.statuses() == {"success": 2}
    assert {row["attempt"] for row in place.rows().values()} == {2}
    assert {row["retry_count"] for row in place.rows().values()} == {0}
    second.terminate()
    assert await second.ended() == 0
    assert place.left() == 0


async def test_a_second_signal_hurries(place: Place, start: Start) -> None:
    never = place.folder / "never"
    handlers = {"default": place.job("stubborn", never, kill_grace=60)}
    sidecar = start(place.config(handlers, worker={"shutdown_grace": 60}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    began = time.monotonic()
    sidecar.terminate()
    await sidecar.said("leaving")
    sidecar.terminate()  # the grace is over: SIGTERM to the handler, which is deaf
    await eventually(lambda: place.journal.words("deaf"))
    sidecar.terminate()  # and this one means now
    assert await sidecar.ended() == 0
    assert time.monotonic() - began < 20
    assert (place.status("t"), place.row("t")["interruptions"]) == ("pending", 1)
    assert place.left() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_until_the_last_moment_leave_the_exit_code_alone(
    place: Place, start: Start, number: signal.Signals
) -> None:
    sidecar = start(place.config({"default": place.job("done")}), anew=True)
    await sidecar.ready()
    sidecar.terminate()
    while sidecar.exit_code is None:
        sidecar.signal(number)
        await asyncio.sleep(0.005)
    assert sidecar.exit_code == 0


async def test_told_to_leave_before_it_listens(place: Place, start: Start) -> None:
    """As soon as it has read its command line."""
    sidecar = start(place.config({"default": place.job("done")}), anew=True)
    await eventually(lambda: _catches(sidecar.pid, signal.SIGTERM), interval=0.001)
    assert "uvloop" not in Path(f"/proc/{sidecar.pid}/maps").read_text(), "the daemon listens already: nothing is shown"
    sidecar.terminate()
    assert await sidecar.ended() == 0


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigIgn", "SigCgt"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


async def test_a_handler_deaf_to_sigterm_is_killed_after_its_own_grace(place: Place, start: Start) -> None:
    never = place.folder / "never"
    handlers = {"default": place.job("stubborn", never, kill_grace=0.5)}
    sidecar = start(place.config(handlers, worker={"shutdown_grace": 0.2}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    handler = place.journal.runs()[0].pid
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.status("t") == "pending"
    assert not Path(f"/proc/{handler}").exists()


async def test_a_signal_finds_messages_that_wait_for_a_slot(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    handlers = {"default": place.job("until", gate, concurrency=1)}
    sidecar = start(place.config(handlers, worker={"concurrency": 4}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(6)))
    await eventually(lambda: place.journal.started and place.waiting() == 2)  # one runs, three wait in hand
    sidecar.terminate()
    await eventually(lambda: place.waiting() == 5)  # given back while the one still runs
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 1}
    assert len(place.journal.started) == 1


async def test_a_signal_while_the_servers_are_away_at_the_start(place: Place, start: Start) -> None:
    nobody = free_port()
    away = Place(f"amqp://guest:guest@127.0.0.1:{nobody}/", place.store_url, place.queue, place.folder)
    no_broker = start(away.config({"default": place.job("done")}))
    away = Place(place.broker_url, f"mysql://root@127.0.0.1:{nobody}/nothing", place.queue, place.folder)
    no_store = start(away.config({"default": place.job("done")}))
    for sidecar in (no_broker, no_store):
        await sidecar.said("not ready")
        sidecar.terminate()
        assert await sidecar.ended() == 0
        assert not sidecar.says("consuming")


async def test_a_signal_with_nothing_to_do(any_place: Place, start: Start) -> None:
    sidecar = start(any_place.config({"default": any_place.job("done")}))
    await sidecar.ready()
    sidecar.terminate()
    assert await sidecar.ended() == 0


# -- of its own accord ------------------------------------------------------------------------------------------------


async def test_idle_timeout_counts_from_the_last_task(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("for", 1.5)}, worker={"idle_timeout": 1}))
    await place.publish({"task_id": "t"})
    assert await sidecar.ended() == 0
    assert place.status("t") == "success"
    assert sidecar.says("idle for 1 s")


async def test_a_burst_empties_the_queue_and_ends_well_even_with_failures(any_place: Place, start: Start) -> None:
    place = any_place
    handlers = {"default": place.job("done"), "bad": place.job("exit", 1)}
    await place.publish(
        *({"task_id": f"t{index}"} for index in range(20)),
        *({"task_id": f"bad{index}", "task_type": "bad"} for index in range(3)),
    )
    sidecar = start(place.config(handlers, worker={"concurrency": 4, "burst_check_interval": 0.2}), "--burst")
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 20, "failed": 3}
    assert place.left() == 0


async def test_a_burst_on_an_empty_queue_ends(any_place: Place, start: Start) -> None:
    sidecar = start(any_place.config({"default": any_place.job("done")}), "--burst")
    assert await sidecar.ended() == 0


async def test_a_burst_waits_for_the_task_that_runs(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    flags = ("--burst", "--burst-check-interval", "0.1")
    sidecar = start(place.config({"default": place.job("until", gate)}), *flags)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    await place.publish({"task_id": "late"})
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 2}


async def test_a_burst_that_waits_for_nobody_gives_its_task_back(place: Place, start: Start) -> None:
    never = place.folder / "never"
    flags = ("--burst", "--burst-check-interval", "0.1", "--no-wait-tasks")
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("until", never)}), *flags)
    assert await sidecar.ended(SOON) == 0
    row = place.row("t")
    assert (row.get("status"), row.get("interruptions")) in [("pending", 1), (None, None)]
    assert place.left() == 1


async def test_a_burst_has_its_longest_time(place: Place, start: Start) -> None:
    never = place.folder / "never"
    flags = ("--burst", "--burst-timeout", "1")
    config = place.config({"default": place.job("until", never)}, worker={"shutdown_grace": 0.5})
    await place.publish({"task_id": "t0"}, {"task_id": "t1"})
    sidecar = start(config, *flags)
    assert await sidecar.ended() == 0
    assert sidecar.says("burst_timeout of 1 s")
    assert (place.status("t0"), place.row("t0")["interruptions"]) == ("pending", 1)
    assert place.left() == 2


async def test_once_takes_one_task_and_leaves_the_rest(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish(*({"task_id": f"t{index}"} for index in range(3)))
    config = place.config({"default": place.job("done")}, worker={"concurrency": 3})
    for done in (1, 2):
        assert await start(config, "--once").ended() == 0
        assert place.statuses() == {"success": done}
        assert len(place.journal.started) == done
        await eventually(lambda rest=3 - done: place.waiting() == rest)  # type: ignore[misc]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["SIGTERM", "burst", "idle", "once"])
async def test_a_message_that_arrives_while_leaving_is_never_lost(place: Place, start: Start, way: str) -> None:
    flags = {"burst": ("--burst", "--burst-check-interval", "0.05"), "once": ("--once",)}.get(way, ())
    worker = {"idle_timeout": 0.2, "burst_check_interval": 0.05} if way == "idle" else {}
    pause = (0.15, 0.3) if way == "idle" else (0.005, 0.05)
    config = place.config({"default": place.job("done")}, worker={"concurrency": 2, **worker})
    chance = random.Random(way)
    sent = 0
    for _ in range(5):
        sidecar = start(config, *flags)
        await sidecar.ready()
        if way == "SIGTERM":
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.05), sidecar.terminate)
        while sidecar.exit_code is None:
            await place.publish({"task_id": f"t{sent}"})
            sent += 1
            await asyncio.sleep(chance.uniform(*pause))
        assert sidecar.exit_code == 0
        done = place.statuses().get("success", 0)
        assert set(place.statuses()) <= {"success"}
        await eventually(lambda rest=sent - done: place.waiting() == rest)  # type: ignore[misc]
    rest = place.config({"default": place.job("done")}, worker={"concurrency": 2})
    assert await start(rest, "--burst").ended() == 0
    assert place.statuses() == {"success": sent}
    assert len(place.journal.started) == sent
