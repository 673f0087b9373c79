"""A channel over time: the first at once, digests at the interval's pace, and a far end that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise

import pytest

from gridsidecar.rules.task import Status
from tests.notify.bot import Bot, shown, title
from tests.notify.channels import LONG, feishu, notifier, webhook
from tests.notify.conftest import Told
from tests.notify.updates import update
from tests.support.waiting import eventually
from tests.support.web import Answer, Connection, Request, Web, in_turn, raw, reply, silence, web_server

# -- pace --------------------------------------------------------------------------------------------------------------


async def test_the_first_at_once_and_the_rest_in_one_digest_at_the_intervals_end(web: Web) -> None:
    bot = Bot(secret="s3cret")
    web.answer = bot.answer
    async with notifier(feishu(web, secret="s3cret", interval=1.5)) as tells:
        tells.hear(update("first"))
        await eventually(lambda: bot.cards)
        for number in range(3):
            tells.hear(update(f"r-{number}"))
        await eventually(lambda: len(bot.cards) == 2)
        tells.hear(update("last"))
        await eventually(lambda: len(bot.cards) == 3)
    assert [title(card) for card in bot.cards] == ["Task failed: resize", "3 tasks: 3 failed", "Task failed: resize"]
    assert all(later - sooner >= 1.4 for sooner, later in pairwise(bot.arrivals))


@pytest.mark.alone
async def test_after_a_quiet_interval_the_next_goes_at_once(web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    async with notifier(feishu(web, interval=1)) as tells:
        tells.hear(update("one"))
        await eventually(lambda: bot.cards)
        await asyncio.sleep(1.2)  # longer than the interval
        heard = time.monotonic()
        tells.hear(update("two"))
        await eventually(lambda: len(bot.cards) == 2)
    assert bot.arrivals[1] - heard < 0.9


async def test_ten_thousand_failures_are_two_messages(web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    async with notifier(feishu(web, interval=1)) as tells:
        tells.hear(update("r-0"))
        await eventually(lambda: bot.cards)
        for number in range(1, 10_000):
            tells.hear(update(f"r-{number}", error_type=("Net", "Disk")[number % 2]))
        await eventually(lambda: len(bot.cards) == 2)
    assert len(web.requests) == 2
    assert title(bot.cards[1]) == "9,999 tasks: 9,999 failed"
    text = shown(bot.cards[1])
    assert "5,000 × failed · resize · Disk\n4,999 × failed · resize · Net" in text
    assert "r-10 · Net: no such image\nand 9,989 more" in text


async def test_what_waits_takes_little_memory_whatever_tasks_say(web: Web) -> None:
    web.answer = silence()
    async with notifier(feishu(web, interval=LONG), webhook(web, interval=LONG)) as tells:
        tells.hear(update())
        await web.wait_for(2)
        gc.collect()
        tracemalloc.start()
        for number in range(5_000):
            name = f"{number}-" + "x" * 10_000
            tells.hear(update(name, error=name, error_type=name, task_type=name, traceback=name * 2, result=[name]))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 1_000_000
        await tells.close(0)


async def test_only_what_the_channel_asks_for(web: Web) -> None:
    async with notifier(
        webhook(web, on=["success", "cancelled"], task_types=["invoice", "report"], interval=0)
    ) as tells:
        tells.hear(update("a", Status.FAILED, task_type="invoice"))
        tells.hear(update("b", Status.SUCCESS, task_type="resize"))
        tells.hear(update("c", Status.SUCCESS, task_type="invoice"))
        tells.hear(update("d", Status.PENDING, task_type="report"))
        tells.hear(update("e", Status.CANCELLED, task_type="report"))
    assert [task["task_id"] for request in web.requests for task in request.json["tasks"]] == ["c", "e"]


# -- a far end that misbehaves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(500), "HTTP 500"),
        (reply(200, body=b'{"code":9499,"msg":"too many request"}'), "HTTP 200, code 9499: too many request"),
        (reply(200, body=b"<html>"), "HTTP 200: <html>"),
        (raw(b""), "127.0.0.1:"),
    ],
)
async def test_a_failed_try_is_repeated_and_told_once(web: Web, told: Told, answer: Answer, reason: str) -> None:
    bot = Bot()
    web.answer = in_turn(answer, answer, bot.answer)
    async with notifier(feishu(web, interval=LONG)) as tells:
        tells.hear(update())
        await eventually(lambda: bot.cards)
        await eventually(lambda: len(told()) == 2)
    (failing, fields), (again, _) = told()
    assert (failing, again) == ("notices do not arrive", "notices arrive again")
    assert fields["channel"] == "notify[0]"
    assert fields["reason"].startswith(reason)
    assert [title(card) for card in bot.cards] == ["Task failed: resize"]
    assert len({json.dumps(request.json["card"]) for request in web.requests}) == 1


async def test_retry_after_is_obeyed_and_the_message_keeps_its_id(web: Web) -> None:
    moments: list[float] = []

    async def answer(request: Request, connection: Connection) -> None:
        moments.append(time.monotonic())
        await (reply(429, {"Retry-After": "3"}) if len(moments) == 1 else reply())(request, connection)

    web.answer = answer
    async with notifier(webhook(web, interval=LONG)) as tells:
        tells.hear(update())
        first, second = await web.wait_for(2)
    assert moments[1] - moments[0] >= 2.9
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.json["tasks"] == second.json["tasks"]


async def test_what_happens_meanwhile_comes_in_one_digest(web: Web) -> None:
    web.answer = reply(503)
    async with notifier(webhook(web, interval=0.2)) as tells:
        tells.hear(update("first"))
        await web.wait_for(1)
        for number in range(500):
            tells.hear(update(f"r-{number}"))
        web.answer = reply()
        messages = [request.json for request in await web.wait_for(3)]
    assert [len(message["tasks"]) + message["more"] for message in messages] == [1, 1, 500]
    assert [message["undelivered"] for message in messages] == [0, 0, 0]


async def test_a_message_is_given_up_and_the_next_one_says_so(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridsidecar.notify.dispatcher.KEEP_TRYING", -1.0)
    web.answer = reply(404)
    async with notifier(webhook(web, interval=0)) as tells:
        for number in range(7):
            tells.hear(update(f"r-{number}"))
        await web.wait_for(1)
        tells.hear(update("later"))
        web.answer = reply()
        (_, message) = [request.json for request in await web.wait_for(2)]
    assert ([task["task_id"] for task in message["tasks"]], message["undelivered"]) == (["later"], 7)


@pytest.mark.alone
async def test_an_endpoint_that_hangs_holds_nobody_up(web: Web, told: Told) -> None:
    web.answer = silence()
    bot = Bot()
    async with web_server() as other:
        other.answer = bot.answer
        async with notifier(feishu(web), feishu(other)) as tells:
            tells.hear(update())
            await web.wait_for(1)
            await eventually(lambda: bot.cards)  # the other channel does not wait for it
            started = time.monotonic()
            for number in range(10_000):
                tells.hear(update(f"r-{number}"))
            assert time.monotonic() - started < 2
            started = time.monotonic()
            await tells.close(0.5)
            assert time.monotonic() - started < 3
    assert len(bot.cards) == 2  # what waited there was sent
    assert told() == [("notices lost", {"channel": "notify[0]", "count": 10_001})]


async def test_a_try_without_an_answer_ends(web: Web, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridsidecar.notify.factory.TRY_LIMIT", 1.0)
    web.answer = silence()
    bot = Bot()
    async with notifier(feishu(web)) as tells:
        tells.hear(update())
        await eventually(told)
        web.answer = bot.answer
        await eventually(lambda: bot.cards)
    assert "did not reply within 1 s" in told()[0][1]["reason"]


async def test_a_secret_that_cannot_sign_is_told(web: Web, told: Told) -> None:
    async with notifier(webhook(web, secret="whsec_not base64!")) as tells:
        tells.hear(update())
        await eventually(told)
    assert "must go on in base64" in told()[0][1]["reason"]
    assert web.requests == []


async def test_the_log_does_not_tell_the_urls_key(web: Web, told: Told) -> None:
    web.answer = reply(404, body=f"no {web.url}/open-apis/bot/v2/hook/key here".encode())
    async with notifier(feishu(web)) as tells:
        tells.hear(update())
        await eventually(told)
    assert "/*** here" in str(told())
    assert "hook/key" not in str(told())


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.alone
async def test_at_the_end_what_waits_is_sent_at_once(web: Web, told: Told) -> None:
    async with notifier(webhook(web, interval=LONG)) as tells:
        tells.hear(update("first"))
        await web.wait_for(1)
        tells.hear(update("a"))
        tells.hear(update("b"))
        started = time.monotonic()
    assert time.monotonic() - started < 3
    assert [task["task_id"] for task in web.requests[1].json["tasks"]] == ["a", "b"]
    assert (len(web.requests), told()) == (2, [])


async def test_at_the_end_a_message_that_failed_gets_one_more_try(web: Web, told: Told) -> None:
    web.answer = reply(503, {"Retry-After": "600"})
    async with notifier(webhook(web, interval=LONG)) as tells:
        tells.hear(update("first"))
        await eventually(told)
        tells.hear(update("second"))
    assert [[task["task_id"] for task in request.json["tasks"]] for request in web.requests] == [
        ["first"],
        ["first"],
        ["second"],
    ]
    assert [words for words, _ in told()] == ["notices do not arrive", "notices lost"]
    assert told()[1][1]["count"] == 2


async def test_without_a_notice_nothing_is_sent(web: Web) -> None:
    async with notifier(webhook(web), feishu(web)):
        pass
    assert web.connections == 0


def test_what_tells_people_is_loaded_where_somebody_is_told() -> None:
    program = "import sys, gridsidecar.daemon; print('gridsidecar.notify.dispatcher' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "False\n"
