"""What arrives on each kind of channel."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from gridsidecar.rules.task import Status
from tests.notify.bot import Bot, title
from tests.notify.channels import LONG, feishu, notifier, webhook
from tests.notify.updates import update
from tests.support.mail import mail_server
from tests.support.waiting import eventually
from tests.support.web import Web


async def test_a_webhook_gets_json_that_is_signed(web: Web) -> None:
    async with notifier(webhook(web, secret="s3cret", interval=LONG)) as tells:
        tells.hear(update("r-1", attempt=2, retry_count=1, max_retry_count=1, traceback="Traceback …"))
        (request,) = await web.wait_for(1)
    message = request.json
    stamp, identity = request.headers["webhook-timestamp"], request.headers["webhook-id"]
    signed = f"{identity}.{stamp}.".encode() + request.body
    signature = base64.b64encode(hmac.new(b"s3cret", signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"
    assert abs(time.time() - int(stamp)) < 60
    assert request.headers["content-type"] == "application/json"
    assert message.pop("timestamp").endswith("Z")
    assert message["tasks"][0].pop("timestamp").endswith("Z")
    assert message == {
        "type": "task.failed",
        "queue": "task_queue",
        "worker": "pod-1",
        "tasks": [
            {
                "task_id": "r-1",
                "task_type": "resize",
                "status": "failed",
                "attempt": 2,
                "attempts_allowed": 2,
                "duration_s": 3.21,
                "retry_in_s": None,
                "error": "no such image",
                "error_type": "NotFound",
                "last_error_type": None,
                "traceback": "Traceback …",
                "stderr_tail": None,
            }
        ],
        "more": 0,
        "counts": [{"status": "failed", "task_type": "resize", "error_type": "NotFound", "count": 1}],
        "undelivered": 0,
    }


async def test_a_webhooks_url_is_sent_as_it_is_written(web: Web) -> None:
    sent = "/%41%3A/x?sig=a%2Fb&x=%7E"
    async with notifier(webhook(web, url=f"http://127.0.0.1:{web.port}{sent}", interval=LONG)) as tells:
        tells.hear(update())
        (request,) = await web.wait_for(1)
    assert request.path == sent


async def test_a_webhooks_digest_counts_what_it_does_not_list(web: Web) -> None:
    async with notifier(webhook(web, on=["failed", "success"], interval=LONG)) as tells:
        for number in range(30):
            tells.hear(update(f"r-{number}"))
        tells.hear(update("good", Status.SUCCESS))
        (request,) = await web.wait_for(1)
    message = request.json
    assert (message["type"], len(message["tasks"]), message["more"]) == ("task.digest", 10, 21)
    assert [entry["count"] for entry in message["counts"]] == [30, 1]
    assert "webhook-signature" not in request.headers


async def test_every_channel_gets_it_each_in_its_own_way(web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    async with mail_server() as server:
        mail = {"type": "email", "smtp_url": f"smtp://{server.address}", "from": "a@b.org", "to": ["ops@b.org"]}
        async with notifier(feishu(web), mail, language="zh") as tells:
            tells.hear(update())
            await eventually(lambda: bot.cards and server.mails)
    assert title(bot.cards[0]) == "任务失败：resize"
    (received,) = server.mails
    assert received.message["Subject"] == "[task_queue] 任务失败：resize"
    assert received.to == ["ops@b.org"]
