"""The receiver of callbacks is away, slow, or cut off: tasks do not notice, and each end is told under one id."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept
from tests.support.place import TASKS, Place
from tests.support.proxy import proxied
from tests.support.waiting import eventually
from tests.support.web import Connection, Request, in_turn, reply, silence, slow_headers, web_server


def config(place: Place, **callbacks: Any) -> dict[str, Any]:
    return place.config(
        {"default": place.job("done")},
        worker={"concurrency": 4},
        callbacks={"allow": ["127.0.0.1"], "timeout": 2, "max_retries": 20, **callbacks},
    )


def hurry(place: Place) -> None:
    """As if the time until the next tries were over."""
    place.execute(
        f"update {TASKS}_callbacks set next_try_at = '2001-01-01' where failures > 0 and delivered_at is null"
    )


def all_told(place: Place) -> bool:
    """Whether all were told; if not, nobody has to wait for the next try."""
    if all(row["delivered_at"] for row in place.callbacks()):
        return True
    hurry(place)
    return False


async def test_it_is_cut_off_after_it_got_the_request(place: Place, start: Start) -> None:
    """Row 21: nobody knows whether it was heard, so it is said again, with the same id and the same words."""
    async with web_server() as web, proxied(web.url) as (proxy, url):

        async def cut(request: Request, connection: Connection) -> None:
            proxy.cut()

        web.answer = in_turn(cut, reply())
        sidecar = start(config(place))
        await place.publish({"task_id": "t", "callback_url": f"{url}/done"})
        await web.wait_for(2)
        await kept(place, sidecar, tasks=1, web=web)
    assert len(web.requests) == 2
    assert place.callbacks("t")[0]["failures"] == 1
    assert_untouched(place)


@pytest.mark.parametrize(("count", "told_twice"), [(0, False), (5, True)], ids=["in the request", "in the answer"])
async def test_it_is_cut_off_in_the_middle(place: Place, start: Start, count: int, told_twice: bool) -> None:
    """Row 21: half a request is none; half an answer may have been a whole request."""
    async with web_server() as web, proxied(web.url) as (proxy, url):
        sidecar = start(config(place))
        await sidecar.ready()
        if told_twice:
            proxy.cut_after(count, "downstream")
        else:
            proxy.cut_after(100, "upstream")
        await place.publish({"task_id": "t", "callback_url": url})
        await eventually(lambda: any(row["failures"] for row in place.callbacks()))
        hurry(place)
        await kept(place, sidecar, tasks=1, web=web)
    assert len(web.requests) == 1 + told_twice


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", ["refuses", "fails", "trickles", "swallows"])
async def test_it_is_out_of_order_for_a_while(place: Place, start: Start, fault: str) -> None:
    """Row 21: the tasks are as fast as ever, and once it works again it hears of all of them."""
    async with web_server() as web, proxied(web.url) as (proxy, url):
        web.answer = {"fails": reply(500), "trickles": slow_headers(0.2)}.get(fault, reply())
        if fault == "refuses":
            await proxy.refuse()
        if fault == "swallows":
            proxy.swallow("upstream")
        sidecar = start(config(place))
        await sidecar.ready()
        plain, told = await seconds(place, 20, "plain"), await seconds(place, 20, "told", callback_url=url)
        assert told < 3 * plain + 2, "tasks waited for the receiver"
        await eventually(lambda: any(row["failures"] for row in place.callbacks()))
        web.requests.clear()
        web.answer = reply()
        proxy.heal()
        if fault == "refuses":
            await proxy.listen()
        await eventually(lambda: all_told(place), timeout=60, interval=0.5)
        await kept(place, sidecar, tasks=40, web=web)
    assert_untouched(place)


async def seconds(place: Place, count: int, name: str, **fields: Any) -> float:
    """How long so many tasks take."""
    before = len(place.rows())
    began = time.monotonic()
    await place.publish(*({"task_id": f"{name}{number}", **fields} for number in range(count)))
    await eventually(lambda: place.all_ended(before + count), timeout=60)
    return time.monotonic() - began


@pytest.mark.timeout(120)
async def test_a_sidecar_that_leaves_does_not_wait_for_it(place: Place, start: Start) -> None:
    """Row 21: what was not told stays owed, and the next sidecar tells it."""
    async with web_server() as web:
        web.answer = silence()
        first = start(config(place, timeout=60))
        await place.publish({"task_id": "t", "callback_url": web.url})
        await web.wait_for(1)
        first.terminate()
        assert await first.ended() == 0, "it may take a minute"
        web.answer = reply()
        place.execute(f"update {TASKS}_callbacks set next_try_at = '2001-01-01'")  # its lease on the callback is over
        await asyncio.sleep(0.1)
        await kept(place, start(config(place)), tasks=1, web=web)
    assert len(web.requests) == 2
