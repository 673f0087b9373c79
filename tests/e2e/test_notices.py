"""Notices about tasks, from a whole sidecar to the bot's server."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.notify.bot import Bot, shown, title
from tests.support.mail import mail_server
from tests.support.place import Place
from tests.support.waiting import eventually
from tests.support.web import Web, silence, web_server

TASKS = 150


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server() as server:
        yield server


def channel(web: Web, **fields: Any) -> dict[str, Any]:
    return {"type": "feishu", "url": f"{web.url}/open-apis/bot/v2/hook/key", **fields}


def config(place: Place, *channels: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A handler that writes to stderr and fails."""
    handler = place.handler("sh", "-c", "cat >&2; echo 'disk full' >&2; exit 3")
    return {**place.config({"default": handler}, **sections), "notify": list(channels)}


async def test_a_failed_task_arrives_as_a_card(any_place: Place, start: Start, web: Web) -> None:
    place = any_place
    bot = Bot(secret="s3cret")
    web.answer = bot.answer
    asked = channel(web, secret="s3cret", on=["failed", "retrying"], interval=0)
    sidecar = start(
        config(place, asked, retry={"max_retries": 1, "delay": 1}, worker={"name": "pod-1"}, log={"language": "zh"})
    )
    await place.publish({"task_id": "t", "task_type": "resize", "data": {"url": "<at id=all></at>"}})
    await eventually(lambda: len(bot.cards) == 2)
    assert [(title(card), card["header"]["template"]) for card in bot.cards] == [
        ("任务等待重试：resize", "orange"),
        ("任务失败：resize", "red"),
    ]
    text = shown(bot.cards[1])
    assert "worker\npod-1" in text
    assert "第 2 次，共 2 次" in text
    assert "RetryExhausted (HandlerExit): " in text
    assert text.endswith("disk full\n```")
    assert "<at " not in text
    await place.publish_bodies(b"no JSON")
    await eventually(lambda: len(bot.cards) == 3)
    assert "ValidationError: body 不是 JSON：" in shown(bot.cards[2])
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert not sidecar.says("notices")


async def test_the_last_digest_is_sent_on_the_way_out(embedded_place: Place, start: Start, web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    place = embedded_place
    await place.publish(*({"task_id": f"t{number}"} for number in range(20)))
    sidecar = start(config(place, channel(web, interval=3600)), "--burst")
    assert await sidecar.ended() == 0
    counts = [1 if "Task\n" in shown(card) else int(title(card).split()[0]) for card in bot.cards]
    assert sum(counts) == 20
    assert len(counts) == 2


async def test_each_task_names_its_receiver_and_fills_the_words(any_place: Place, start: Start) -> None:
    place = any_place
    handler = place.handler("sh", "-c", 'printf \'{"serverId": "s-%s"}\' $GRIDSIDECAR_TASK_ID', result_from="stdout")
    async with mail_server() as server:
        mail = {
            "type": "email",
            "smtp_url": f"smtp://{server.address}",
            "from": "grid@b.org",
            "on": ["success"],
            "to": ["ops@b.org", "{callback_data.email}"],
            "allow_to": ["b.org"],
            "interval": 1,
            "subject": "{result.serverId} – 就绪",
            "text": "Dear {data.user.name} ✔",
        }
        sidecar = start({**place.config({"default": handler}), "notify": [mail]})
        for name in ("ann", "bob"):
            task = {"task_id": name, "data": {"user": {"name": f"{name.title()} 🎉"}}}
            await place.publish(task | {"callback_data": {"email": f"{name}@b.org"}})
        await place.publish({"task_id": "evil", "callback_data": {"email": "x@b.org\r\nBcc: y@b.org"}})
        await eventually(lambda: {"ann@b.org", "bob@b.org"} <= {received.to[0] for received in server.mails})
        await sidecar.said("a notice may not go to whom a task names")
        sidecar.terminate()
        assert await sidecar.ended() == 0
    personal = {received.to[0]: received.message for received in server.mails if received.to != ["ops@b.org"]}
    assert sorted(personal) == ["ann@b.org", "bob@b.org"]
    assert personal["ann@b.org"]["Subject"] == "s-ann – 就绪"
    assert personal["ann@b.org"].get_content().strip() == "Dear Ann 🎉 ✔"
    assert all(len(received.to) == 1 for received in server.mails)
    told = "".join(received.message.get_content() for received in server.mails if received.to == ["ops@b.org"])
    assert all(f"Dear {name} ✔" in told for name in ("Ann 🎉", "Bob 🎉", "–"))


@pytest.mark.alone
async def test_a_bot_that_hangs_holds_no_task_and_no_exit_up(embedded_place: Place, start: Start, web: Web) -> None:
    web.answer = silence()
    place = embedded_place
    tasks = [{"task_id": f"a{number}"} for number in range(TASKS)]
    more = [{"task_id": f"b{number}"} for number in range(TASKS)]
    alone = start(config(place, worker={"concurrency": 4}))
    await alone.ready()
    without = await seconds_for(place, tasks, TASKS)
    alone.terminate()
    await alone.ended()
    burdened = start(config(place, channel(web, interval=0), channel(web, interval=0), worker={"concurrency": 4}))
    await burdened.ready()
    with_it = await seconds_for(place, more, 2 * TASKS)
    assert web.requests
    assert with_it < 2 * without + 1, (without, with_it)
    began = time.monotonic()
    burdened.signal(signal.SIGTERM)
    assert await burdened.ended() == 0
    assert time.monotonic() - began < 15
    assert burdened.says("notices lost")


async def seconds_for(place: Place, tasks: list[dict[str, Any]], ended: int) -> float:
    """From the first message to the end of the last task."""
    began = time.monotonic()
    await place.publish(*tasks)
    await eventually(lambda: place.all_ended(ended), timeout=60)
    return time.monotonic() - began
