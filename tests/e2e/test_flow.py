"""Paused types, breakers and rates with whole sidecars: what starts when, and that nothing is lost meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_ahead import behind_a_long_one, one_at_a_time, warmed
from tests.e2e.test_persistent import handler
from tests.notify.bot import Bot, shown
from tests.support.cli import Finished, gridsidecar
from tests.support.place import TASKS, Place
from tests.support.proxy import proxied
from tests.support.waiting import eventually
from tests.support.web import Web, web_server

ECHO = {"do": "echo"}
PARKED = f"select count(*) as n from {TASKS} where status in ('pending', 'retrying') and next_check_at >= '3000-01-01'"


def two_types(place: Place, *, worker: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A handler for mails, with these keys, and one for all else."""
    handlers = {"mail": handler(place, **keys), "default": handler(place)}
    return place.config(handlers, worker={"concurrency": 2, "lease": 4, **(worker or {})})


def switch(place: Place, **keys: Any) -> dict[str, Any]:
    """A handler that fails while a file says so."""
    return place.handler("sh", "-c", f"test ! -e '{broken(place)}'", **keys)


def broken(place: Place) -> Path:
    return place.folder / "broken"


def mails(count: int, name: str = "m", **data: Any) -> list[dict[str, Any]]:
    return [{"task_id": f"{name}{n}", "task_type": "mail", "data": data or ECHO} for n in range(count)]


def command(place: Place, *arguments: str) -> Finished:
    """A command of ours in a folder with a configuration that names the place."""
    file = place.folder / "gridsidecar.yaml"
    file.write_text(
        f"broker: {{url: '{place.broker_url}', queue: {place.queue}}}\nstore: {{url: '{place.store_url}'}}\n"
        "handlers: {other: {command: ['true']}}\n"
    )
    return gridsidecar(place.folder, *arguments, "-c", str(file))


def parked(place: Place) -> int:
    return int(place.fetch(PARKED)[0]["n"])


async def owed(place: Place) -> int:
    async with place.opened() as opened:
        return await opened.reading.owed()


def starts(place: Place, names: str = "m") -> list[float]:
    """When the attempts of these tasks started, in seconds."""
    history = [one for one in place.history() if str(one["task_id"]).startswith(names)]
    return sorted(
        (at if isinstance(at := one["started_at"], datetime) else datetime.fromisoformat(at)).timestamp()
        for one in history
    )


def now() -> float:
    """Comparable with those: rows have no time zone."""
    return datetime.now(UTC).replace(tzinfo=None).timestamp()


# -- pause and resume -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_type_is_paused_while_messages_flow_and_the_others_go_on(
    any_place: Place, start: Start, processes: int
) -> None:
    place = any_place
    sidecar = start(two_types(place, worker={"processes": processes}))
    await sidecar.ready(processes=processes)
    await place.publish(*mails(5, "before"))
    await eventually(lambda: place.all_ended(5))
    paused = command(place, "pause", "mail", "--reason", "the mail server moves")
    assert (paused.returncode, paused.stdout) == (0, "mail\n")
    assert "is not among the handlers of this configuration" in paused.stderr
    await eventually(lambda: sidecar.text.count("task type paused") == processes)
    await place.publish(*(task for pair in zip(mails(20), others(20), strict=True) for task in pair))
    await eventually(lambda: place.all_ended(25))
    await eventually(lambda: parked(place) == 20)
    await eventually(lambda: place.left() == 0)
    assert await owed(place) == 0
    shown = command(place, "stats").stdout
    assert "20 parked" in shown
    assert "the mail server moves" in shown
    assert command(place, "resume", "mail").stdout == "mail\n"
    await eventually(lambda: place.all_ended(45))
    assert place.statuses() == {"success": 45}
    assert all(len(place.attempts(f"m{n}")) == 1 for n in range(20))
    await eventually(lambda: sidecar.text.count("task type resumed") == processes)  # each hears of it in its own second
    await eventually(lambda: place.fetch(f"select * from {TASKS}_pauses") == [])


async def test_stats_tells_of_a_pause_that_is_over_while_something_of_it_is_kept(place: Place, start: Start) -> None:
    sidecar = start(two_types(place))
    await sidecar.ready()
    command(place, "pause", "mail")
    await sidecar.said("task type paused")
    await place.publish(*mails(2))
    await eventually(lambda: parked(place) == 2)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    command(place, "pause", "never-came", "sms")
    command(place, "resume", "mail", "sms")
    for lang, heading, over in (
        ("en", "paused", "over: workers bring them back"),
        ("zh", "已暂停", "已结束：由 worker 恢复任务"),
    ):
        told = command(place, "--lang", lang, "stats").stdout.splitlines()
        listed = told[told.index(heading) + 1 :]
        assert [line.split()[0] for line in listed] == ["mail", "never-came"], listed
        assert [over in line for line in listed] == [True, False], listed
    command(place, "resume", "never-came")
    assert "never-came" not in command(place, "stats").stdout
    start(two_types(place))
    await eventually(lambda: place.all_ended(2), timeout=60)
    assert "paused" not in command(place, "stats").stdout.splitlines()


def others(count: int) -> list[dict[str, Any]]:
    return [{"task_id": f"o{n}", "data": ECHO} for n in range(count)]


async def test_what_runs_goes_on_and_what_waits_behind_it_is_parked(place: Place, start: Start) -> None:
    sidecar = start(two_types(place, concurrency=1, worker={"concurrency": 1}))
    await place.publish(*mails(1, "long", do="rest", s=4), *mails(3))
    await eventually(lambda: place.status("long0") == "running")
    command(place, "pause", "mail")
    await sidecar.said("task type paused")
    await eventually(lambda: parked(place) == 3, timeout=60)
    await eventually(lambda: place.status("long0") == "success")
    assert place.statuses() == {"success": 1, "pending": 3}


async def test_what_is_claimed_ahead_of_its_slot_is_given_back_and_parked(place: Place, start: Start) -> None:
    sidecar = await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 60)
    command(place, "pause", "default")
    await sidecar.said("task type paused")
    await eventually(lambda: parked(place) == len(ids))
    for task_id in ids:
        row = place.row(task_id)
        assert (row["crashes"], row["interruptions"], row["retry_count"]) == (0, 0, 0), task_id
    assert place.status("long") == "running"


async def test_delayed_and_retrying_tasks_of_a_paused_type_wait_for_its_end(any_place: Place, start: Start) -> None:
    place = any_place
    handlers = {"mail": switch(place, retry={"max_retries": 3, "delay": 10})}  # longer than a command takes
    sidecar = start(place.config(handlers))
    await sidecar.ready()
    broken(place).touch()
    delayed = {"task_id": "delayed", "task_type": "mail", "defer_by": 10}
    await place.publish(delayed, *mails(1, "again"))
    await eventually(lambda: place.status("again0") == "retrying")
    command(place, "pause", "mail")
    await eventually(lambda: parked(place) == 2, timeout=60)
    rows = place.row("delayed"), place.row("again0")
    assert [row["status"] for row in rows] == ["pending", "retrying"]
    assert rows[1]["retry_count"] == len(place.attempts("again0"))
    broken(place).unlink()
    command(place, "resume", "mail")
    await eventually(lambda: place.all_ended(2), timeout=60)
    assert place.statuses() == {"success": 2}


async def test_a_task_that_is_rescued_during_a_pause_is_parked_with_its_crash(place: Place, start: Start) -> None:
    first = start(two_types(place, worker={"lease": 2}))
    await place.publish(*mails(1, do="rest", s=60))
    await eventually(lambda: place.status("m0") == "running")
    first.die()
    command(place, "pause", "mail")
    start(two_types(place, worker={"lease": 2}))
    await eventually(lambda: parked(place) == 1, timeout=60)
    assert (place.row("m0")["crashes"], place.attempts("m0")[0]["outcome"]) == (1, "lost")
    command(place, "resume", "mail")
    await eventually(lambda: place.status("m0") == "running")


async def test_a_pause_until_a_time_wakes_pods_when_it_comes(any_place: Place, start: Start) -> None:
    place = any_place
    first = start(two_types(place))
    await first.ready()
    assert command(place, "pause", "mail", "--until", "5s").returncode == 0
    await first.said("task type paused")
    await place.publish(*mails(5))
    await eventually(lambda: parked(place) == 5)
    first.terminate()
    assert await first.ended() == 0
    assert await owed(place) == 0
    await eventually(lambda: owed_is(place, 5))
    start(two_types(place))
    await eventually(lambda: place.all_ended(5))


async def owed_is(place: Place, count: int) -> bool:
    return await owed(place) == count


async def test_many_parked_tasks_come_back_in_bounded_steps_while_others_go_on(place: Place, start: Start) -> None:
    command(place, "pause", "mail")
    fill(place, 50_000)
    sidecar = start(two_types(place, worker={"concurrency": 8}))
    await sidecar.ready()
    await place.publish(*others(10))
    await eventually(lambda: place.statuses().get("success", 0) == 10)
    command(place, "resume", "mail")
    await eventually(lambda: place.statuses().get("success", 0) > 500, timeout=60)
    await place.publish(*({"task_id": f"later{n}", "data": ECHO} for n in range(10)))
    await eventually(lambda: all(place.status(f"later{n}") == "success" for n in range(10)), timeout=60)
    assert parked(place) > 30_000, "they did not wait for all that was parked"
    assert place.waiting() < 2_500
    done = place.fetch(f"select max(id) as m from {TASKS} where status = 'success' and task_type = 'mail'")[0]["m"]
    assert done < "p10000", "the first ones first"


def fill(place: Place, count: int) -> None:
    """So many mails that were parked, as a worker would have left them."""
    digits = "(select 0 as d union all " + " union all ".join(f"select {digit}" for digit in range(1, 10)) + ")"
    number = "a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d"
    place.execute(
        f"insert into {TASKS} (id, task_type, status, created_at, updated_at, queue, body, headers, handed_off,"
        " next_run_at, next_check_at)"
        f" select concat('p', lpad({number}, 5, '0')), 'mail', 'pending', utc_timestamp(3), utc_timestamp(3), ?,"
        f' concat(\'{{"task_id": "p\', lpad({number}, 5, \'0\'), \'", "task_type": "mail",'
        ' "data": {"do": "echo"}}\'),'
        " null, 1, utc_timestamp(3) - interval 1 hour,"
        f" (select parked_from from {TASKS}_pauses where task_type = 'mail') + interval ({number}) second"
        f" from {', '.join(f'{digits} {table}' for table in 'abcef')} where {number} < {count}",
        place.queue,
    )


async def test_who_brings_back_what_was_parked_may_die_over_it(place: Place, start: Start) -> None:
    first = start(two_types(place), failpoints="released:kill")
    await first.ready()
    command(place, "pause", "mail")
    await first.said("task type paused")
    await place.publish(*mails(5))
    await eventually(lambda: parked(place) == 5)
    command(place, "resume", "mail")
    await first.ended()
    place.execute(f"update {TASKS} set next_check_at = '2001-01-01' where next_check_at < '3000-01-01'")
    start(two_types(place))
    await eventually(lambda: place.all_ended(5), timeout=60)
    assert place.statuses() == {"success": 5}


@pytest.mark.parametrize("point", ["parked:kill", "claimed:kill"])
async def test_a_worker_that_dies_over_parking_loses_nothing(place: Place, start: Start, point: str) -> None:
    command(place, "pause", "mail")
    first = start(two_types(place), failpoints=point)
    await place.publish(*mails(3), *others(1))
    await first.ended()
    start(two_types(place))
    await eventually(lambda: parked(place) == 3, timeout=60)
    command(place, "resume", "mail")
    await eventually(lambda: place.all_ended(4), timeout=60)
    assert place.statuses() == {"success": 4}


async def test_the_database_is_away_while_tasks_are_parked(place: Place, start: Start) -> None:
    async with proxied(place.store_url) as (proxy, url):
        sidecar = start(two_types(replace(place, store_url=url)))
        await sidecar.ready()
        command(place, "pause", "mail")
        await sidecar.said("task type paused")
        await place.publish(*mails(20))
        await eventually(lambda: parked(place) > 0)
        await proxy.refuse()
        await place.publish(*mails(20, "more"))
        await sidecar.said("not ready")
        await proxy.listen()
        await eventually(lambda: parked(place) == 40, timeout=60)
        command(place, "resume", "mail")
        await eventually(lambda: place.all_ended(40), timeout=60)
        assert place.statuses() == {"success": 40}


def test_bad_input_is_refused_with_a_word(embedded_place: Place, tmp_path: Path) -> None:
    place = embedded_place
    for arguments, word in (
        (("pause",), "Missing argument"),
        (("pause", "mail", "--until", "yesterday"), "is no time"),
        (("pause", "mail", "--until", "2001-01-01"), "is over already"),
        (("pause", "mail", "--until", "0s"), "is over already"),
        (("pause", "mail", "mail"), "named twice"),
        (("pause", ""), "1 to 100 characters"),
        (("resume", "x" * 101), "1 to 100 characters"),
    ):
        refused = command(place, *arguments)
        assert (refused.returncode, word in refused.stderr) == (64, True), (arguments, refused.stderr)
    unknown = command(place, "resume", "mail")
    assert (unknown.returncode, unknown.stderr.splitlines()[-1]) == (1, "mail is not paused")


# -- breakers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server() as server:
        yield server


def with_breaker(place: Place, web: Web, **breaker: float) -> dict[str, Any]:
    handlers = {"mail": switch(place, breaker={"failures": 3, "cool_down": 2, **breaker}), "default": handler(place)}
    notify = [{"type": "webhook", "url": web.url, "interval": 0}]
    return {**place.config(handlers, worker={"concurrency": 2, "lease": 4}), "notify": notify}


def told(web: Web) -> list[str]:
    """What was said of breakers, in order."""
    return [change["state"] for request in web.requests for change in request.json.get("breakers", ())]


@pytest.mark.parametrize("sidecars", [1, 2])
async def test_a_type_that_fails_on_and_on_is_paused_and_goes_on_when_one_succeeds(
    any_place: Place, start: Start, web: Web, sidecars: int
) -> None:
    place = any_place
    broken(place).touch()
    running = [start(with_breaker(place, web)) for _ in range(sidecars)]
    for sidecar in running:
        await sidecar.ready()
    await place.publish(*mails(40), *others(5))
    await eventually(lambda: any(sidecar.says("breaker opened") for sidecar in running))
    await eventually(lambda: place.left() == 0)
    await eventually(lambda: all(place.status(f"o{n}") == "success" for n in range(5)))
    failed = place.statuses()["failed"]
    assert 3 <= failed < 40
    await eventually(lambda: place.statuses()["failed"] > failed, timeout=30)  # one was tried
    assert parked(place) >= 40 - failed - 3
    assert "by a breaker, tried at" in command(place, "stats").stdout
    broken(place).unlink()
    await eventually(lambda: place.all_ended(45), timeout=60)
    await eventually(lambda: place.fetch(f"select * from {TASKS}_pauses") == [])
    await eventually(lambda: told(web)[-1:] == ["closed"])
    assert told(web) == ["open", "closed"], "each is told once"
    assert sum(sidecar.text.count("breaker opened") for sidecar in running) == 1


async def test_the_last_error_is_told_in_the_language_of_who_reads_it(place: Place, start: Start, web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    broken(place).touch()
    notify = [{"type": "feishu", "url": web.url, "interval": 0}]
    sidecar = start({**with_breaker(place, web, cool_down=600), "notify": notify, "log": {"language": "zh"}})
    await place.publish(*mails(3))
    said = "连续失败 3 次，600 s 后试运行一个任务。最后的错误：退出码 1"
    await eventually(lambda: any(said in shown(card) for card in bot.cards))
    last = "连续失败 3 次，最近一次：HandlerExit: 退出码 1"
    await sidecar.said(f'reason="{last}"')
    assert last in command(place, "--lang", "zh", "stats").stdout
    assert "in a row, the last: HandlerExit: exit status 1" in command(place, "stats").stdout


async def test_a_breaker_is_closed_by_hand(place: Place, start: Start, web: Web) -> None:
    broken(place).touch()
    sidecar = start(with_breaker(place, web, cool_down=600))
    await place.publish(*mails(10))
    await sidecar.said("breaker opened")
    await eventually(lambda: place.left() == 0)
    broken(place).unlink()
    command(place, "resume", "mail")
    await eventually(lambda: place.all_ended(10), timeout=60)
    assert place.statuses()["success"] >= 1


async def test_a_success_in_between_keeps_a_breaker_closed(embedded_place: Place, start: Start, web: Web) -> None:
    place = embedded_place
    sidecar = start(with_breaker(place, web))
    await sidecar.ready()
    for number in range(4):
        broken(place).touch()
        await place.publish(*mails(2, f"bad{number}-"))
        await eventually(lambda: place.statuses().get("failed") == 2 * (number + 1))  # noqa: B023
        broken(place).unlink()
        await place.publish(*mails(1, f"good{number}-"))
        await eventually(lambda: place.statuses().get("success") == number + 1)  # noqa: B023
    assert not sidecar.says("breaker opened")


async def test_who_tries_a_task_may_die_over_it(place: Place, start: Start, web: Web) -> None:
    broken(place).touch()
    first = start(with_breaker(place, web), failpoints="probe_taken:kill")
    await place.publish(*mails(20))
    await first.said("breaker opened")
    await first.ended(30)
    broken(place).unlink()
    start(with_breaker(place, web))
    await eventually(lambda: place.fetch(f"select * from {TASKS}_pauses") == [], timeout=60)
    place.execute(f"update {TASKS} set next_check_at = '2001-01-01' where status = 'pending'")  # its wake-up was lost
    await eventually(lambda: place.all_ended(20), timeout=60)


# -- rates ------------------------------------------------------------------------------------------------------------


def limited(place: Place, rate: str, **keys: Any) -> dict[str, Any]:
    return two_types(place, worker={"concurrency": 4}, rate=rate, **keys)


async def test_several_sidecars_together_keep_a_rate_and_others_pass(any_place: Place, start: Start) -> None:
    place = any_place
    sidecars = [start(limited(place, "3/s")) for _ in range(3)]
    for sidecar in sidecars:
        await sidecar.ready()
    published = now()
    await place.publish(*mails(24), *others(20))
    await eventually(lambda: place.all_ended(44), timeout=60)
    assert place.statuses() == {"success": 44}
    times = starts(place)
    assert len(times) == 24
    assert times[-1] - published >= 23 / 3, "the first turn was no sooner than its message"
    for window in (1.0, 2.0):  # a start may be late by a second, as the shortest delay queue is
        most = max(sum(first <= at < first + window for at in times) for first in times)
        assert most <= 3 * (window + 1) + 4  # … and from its claim to its start time passes
    assert max(starts(place, "o")) < times[-1], "sent after them, and not held by their rate"
    assert {place.row(f"m{n}")["retry_count"] for n in range(24)} == {0}


async def test_what_is_over_the_rate_is_held_by_nobody(place: Place, start: Start) -> None:
    sidecar = start(limited(place, "1/1h"))
    await sidecar.ready()
    await place.publish(*mails(50), *others(5))
    await eventually(lambda: place.all_ended(6))
    await eventually(lambda: place.statuses() == {"success": 6, "pending": 49})
    assert place.waiting() == 0
    await eventually(lambda: place.left() == 49)  # in the delay queues: their rows are written before
    assert await owed(place) == 0
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_a_retry_takes_a_place_of_its_own(place: Place, start: Start) -> None:
    broken(place).touch()
    handlers = {"mail": switch(place, rate="1/2s", retry={"max_retries": 2, "delay": 0})}
    start(place.config(handlers))
    published = now()
    await place.publish(*mails(1))
    await eventually(lambda: place.status("m0") == "failed", timeout=60)
    times = starts(place)
    assert len(times) == 3
    assert all(at - published >= 2 * turn for turn, at in enumerate(times))
