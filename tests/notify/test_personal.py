"""Notices in the operator's words, to whom each task names: nobody sees what is another's, no task writes headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gridsidecar import wire
from gridsidecar.config.template import parse
from gridsidecar.notify import email
from gridsidecar.notify.feishu import card
from gridsidecar.notify.rendering import TEXT, Wording
from gridsidecar.notify.translations import CHINESE, ENGLISH
from gridsidecar.notify.webhook import message
from gridsidecar.rules.task import Callback, Message, Report, Status, Task, TaskUpdate
from tests.notify.bot import MOST_BYTES, Bot, shown, title
from tests.notify.channels import LONG, feishu, notifier, webhook
from tests.notify.conftest import Told
from tests.notify.updates import MOMENT, ORIGIN, digest, update
from tests.support.mail import MailServer, mail_server
from tests.support.waiting import eventually
from tests.support.web import Web

NAMED = "{callback_data.email}"


def mail(server: MailServer, **fields: Any) -> dict[str, Any]:
    return {
        "type": "email",
        "smtp_url": f"smtp://{server.address}",
        "from": "grid@b.org",
        "on": ["failed", "success"],
        "to": [NAMED],
        "allow_to": ["b.org"],
        "interval": LONG,
        **fields,
    }


def of(email_: Any, task_id: str = "t", data: Any = None, **fields: Any) -> TaskUpdate:
    """A failed task whose producer names this address."""
    callback = Callback(data={"email": email_})
    return update(
        task_id, task=Task(task_id=task_id, message=Message(body=b"{}"), data=data, callback=callback), **fields
    )


def mails_to(server: MailServer, address: str) -> list[str]:
    return [mail.message.get_content() for mail in server.mails if mail.to == [address]]


async def test_recipient_and_words_are_the_tasks_own() -> None:
    words = {"subject": "Server {result.serverId} is ready", "text": "Dear {data.user.name},\nit is {status}. {{}}"}
    async with mail_server() as server, notifier(mail(server, **words)) as tells:
        tells.hear(
            of(
                "ann@b.org",
                data={"user": {"name": "Ann 🎉"}},
                status=Status.SUCCESS,
                result={"serverId": 17, "x": "y" * 2**20},
            )
        )
        await eventually(lambda: server.mails)
    (received,) = server.mails
    assert (received.to, received.message["To"]) == (["ann@b.org"], "ann@b.org")
    assert received.message["Subject"] == "Server 17 is ready"
    assert received.message.get_content().replace("\r\n", "\n") == "Dear Ann 🎉,\nit is success. {}\n"


async def test_who_is_named_nowhere_costs_nobody_else_a_notice(told: Told) -> None:
    async with mail_server() as server, notifier(mail(server, to=["ops@b.org", NAMED], interval=0)) as tells:
        for number, address in enumerate([None, "", 7.5, True, ["ann@b.org"], {"a": 1}]):
            tells.hear(of(address, f"t{number}"))
        tells.hear(update("without"))
        tells.hear(TaskUpdate(task_id="", task_type="default", status=Status.FAILED, attempt=0, error="no JSON"))
        await eventually(lambda: sum("t5" in text or "no JSON" in text for text in mails_to(server, "ops@b.org")))
    assert {tuple(mail.to) for mail in server.mails} == {("ops@b.org",)}
    assert told() == [
        (
            "a task names no receiver of its notice",
            {
                "channel": "notify[0]",
                "template": NAMED,
                "task_id": "t0",
                "reason": f"{NAMED} is missing, empty, or no text",
            },
        )
    ]


@pytest.mark.parametrize(
    "address",
    [
        "ann@b.org\r\nBcc: victim@b.org",
        "ann@b.org, victim@b.org",
        "Ann <victim@b.org>",
        "ann@evil.example",
        "ann@sub.b.org",
        "ü@b.org",
        "x" * 100_000 + "@b.org",
    ],
)
async def test_nothing_goes_where_it_may_not(told: Told, address: str) -> None:
    async with mail_server() as server, notifier(mail(server, to=["ops@b.org", NAMED])) as tells:
        tells.hear(of(address))
        await eventually(lambda: server.mails)
    (received,) = server.mails
    assert received.to == ["ops@b.org"]
    ((event, fields),) = told()
    assert event == "a notice may not go to whom a task names"
    assert "\n" not in fields["to"]
    assert len(fields["to"].encode()) <= 100


async def test_a_domain_of_any_script_is_the_same_in_ascii() -> None:
    async with mail_server() as server, notifier(mail(server, allow_to=["BÜCHER.example"])) as tells:
        tells.hear(of("ann@bücher.example"))
        await eventually(lambda: server.mails)
    assert server.mails[0].to == ["ann@xn--bcher-kva.example"]


async def test_each_gets_a_digest_of_what_is_theirs() -> None:
    channel = {"to": ["Ops <ops@b.org>", NAMED], "text": "{task_id}: {error}", "interval": 0.5}
    async with mail_server() as server, notifier(mail(server, **channel)) as tells:
        for number in range(3):
            for name in ("ann", "bob"):
                tells.hear(of(f"{name}@b.org", f"{name}-{number}"))
            if not number:
                tells.hear(of("ops@b.org", "own"))  # has it already
                await eventually(lambda: len(server.mails) == 3)
        await eventually(lambda: len(server.mails) == 6)
    for name, other in (("ann", "bob"), ("bob", "ann")):
        texts = "".join(mails_to(server, f"{name}@b.org"))
        assert all(f"{name}-{number}: no such image" in texts for number in range(3))
        assert other not in texts
        assert len(mails_to(server, f"{name}@b.org")) == 2
    texts = "".join(mails_to(server, "ops@b.org"))
    assert texts.count("no such image") == 7


async def test_a_thousand_receivers_are_bounded_and_counted(told: Told) -> None:
    async with mail_server() as server, notifier(mail(server, max_recipients=50)) as tells:
        for number in range(1000):
            tells.hear(of(f"user{number}@b.org", f"t{number}"))
        await eventually(lambda: len(server.mails) == 50, timeout=30)
        tells.hear(of("user0@b.org", "again"))
    assert [mail.to for mail in server.mails if "again" in mail.message.get_content()] == [["user0@b.org"]]
    assert len({mail.to[0] for mail in server.mails}) == 50
    lines = [fields for event, fields in told() if event == "too many receivers of notices, some get none"]
    assert [(line["limit"], line["channel"]) for line in lines] == [(50, "notify[0]")] * 2
    assert sum(line["count"] for line in lines) == 950


async def test_places_are_free_again_when_an_interval_is_over() -> None:
    async with mail_server() as server, notifier(mail(server, max_recipients=1, interval=0.1)) as tells:
        for name in ("ann", "bob", "cid"):
            address = f"{name}@b.org"

            async def arrived(address: str = address) -> bool:
                tells.hear(of(address))
                return bool(mails_to(server, address))

            async with asyncio.timeout(20):
                while not await arrived():
                    await asyncio.sleep(0.02)


async def test_a_mailbox_that_does_not_exist_is_told_and_no_outage(told: Told) -> None:
    async with mail_server() as server, notifier(mail(server)) as tells:
        server.refused = {"gone@b.org"}
        tells.hear(of("gone@b.org"))
        tells.hear(of("ann@b.org"))
        await eventually(lambda: server.mails and told())
    assert told() == [("the mail server refused a receiver", {"to": "gone@b.org", "reason": "550 no such mailbox"})]
    assert [mail.to for mail in server.mails] == [["ann@b.org"]]


async def test_a_server_that_is_away_is_told_once_for_all_and_tried_again(told: Told) -> None:
    async with mail_server() as server, notifier(mail(server)) as tells:
        server.answer = "451 try later"
        for number in range(5):
            tells.hear(of(f"user{number}@b.org"))
        await eventually(told)
        server.answer = "250 OK"
        await eventually(lambda: len(server.mails) == 5)
    assert [event for event, _ in told()] == ["notices do not arrive", "notices arrive again"]


# -- words ------------------------------------------------------------------------------------------------------------


def worded(update_: TaskUpdate, *more: TaskUpdate, subject: str | None = None, text: str | None = None) -> Any:
    wording = Wording(
        origin=ORIGIN, subject=None if subject is None else parse(subject), text=None if text is None else parse(text)
    )
    made = digest()
    for one in (update_, *more):
        made.add(one, MOMENT, wording)
    return made


EVERYTHING = "{task_id} {task_type} {status} {attempt} {error} {error_type} {queue} {worker} {time} {duration}"


def test_every_channel_says_it_in_its_own_way() -> None:
    made = worded(update(), subject="{task_type}: {error}", text=EVERYTHING)
    said = "r-1 resize failed 1 no such image NotFound task_queue pod-1 2026-01-02 03:04:05 UTC 3.21"
    assert (email.subject(made, ORIGIN, ENGLISH), email.text(made, ORIGIN, ENGLISH)) == (
        "resize: no such image",
        said + "\n",
    )
    made_card = card(made, ORIGIN, CHINESE)
    assert (title(made_card), shown(made_card)) == ("resize: no such image", said)
    (task,) = message(made, ORIGIN, MOMENT)["tasks"]
    assert (task["subject"], task["text"]) == ("resize: no such image", said)


def test_without_templates_the_json_has_no_such_keys() -> None:
    (task,) = message(digest(update()), ORIGIN, MOMENT)["tasks"]
    assert not {"subject", "text"} & set(task)


@pytest.mark.parametrize("template", ["{data.no}", "{result}", "{callback_data.email.x}", "{traceback}", "{retry_in}"])
def test_what_is_not_there_is_a_dash(template: str) -> None:
    made = worded(update(), subject=f"a {template}", text=f"b {template}")
    assert (email.subject(made, ORIGIN, ENGLISH), email.text(made, ORIGIN, ENGLISH)) == ("a –", "b –\n")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        ([1, {"a": "ü"}], '[1, {"a": "ü"}]'),
        ("a\x1b[31m\x00b\u202ec\ud800", "abc"),
        ("👩‍🚀", "👩‍🚀"),
    ],
)
def test_values_as_text(value: Any, said: str) -> None:
    made = worded(update(status=Status.SUCCESS, result={"v": value}), text="{result.v}")
    assert email.text(made, ORIGIN, ENGLISH) == f"{said}\n"


def test_no_value_writes_a_header() -> None:
    made = worded(update(error="x\r\nBcc: victim@example.org\n\nbody"), subject="It says {error}")
    subject = email.subject(made, ORIGIN, ENGLISH)
    assert subject == "It says x Bcc: victim@example.org body"


def test_large_and_deep_values_are_bounded_at_once() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    large = {"list": ["😀" * 100] * 20_000, "text": "y" * 2**20, "deep": deep}
    text = "{result}{result.list}{result.text}" * 10 + "{result.deep}"
    made = worded(*[update(f"t{n}", Status.SUCCESS, result=large) for n in range(30)], text=text)
    assert len(made.notices) == 10
    for notice in made.notices:
        assert notice.text is not None
        assert len(notice.text.encode()) <= TEXT
    for content in (made, worded(update(status=Status.SUCCESS, result=large), text=text)):
        assert len(json.dumps(card(content, ORIGIN, ENGLISH), ensure_ascii=False).encode()) < MOST_BYTES


def test_data_that_nobody_decoded_is_looked_into_up_to_a_limit() -> None:
    def failed(body: bytes) -> TaskUpdate:
        data = wire.JsonText(Message(body=body), 0, len(body))
        return update(task=Task(task_id="t", message=Message(body=b""), data=data))

    small = json.dumps({"user": "Ann", "x": "y" * 100_000}).encode()
    assert email.text(worded(failed(small), text="{data.user}"), ORIGIN, ENGLISH) == "Ann\n"
    large = json.dumps({"user": "Ann", "x": "y" * 2**21}).encode()
    assert email.text(worded(failed(large), text="{data.user}"), ORIGIN, ENGLISH) == "–\n"


def test_a_digest_has_a_paragraph_for_each_of_the_first_ten() -> None:
    made = worded(*[update(f"t{n}", report=Report()) for n in range(12)], subject="{task_id}", text="{task_id}\nfailed")
    text = email.text(made, ORIGIN, ENGLISH)
    assert email.subject(made, ORIGIN, ENGLISH) == "[task_queue] 12 tasks: 12 failed"
    assert "t0\nfailed\n\nt1\nfailed" in text
    assert text.endswith("t9\nfailed\n\nand 2 more\n")


async def test_they_arrive_in_feishu_and_by_webhook(web: Web) -> None:
    bot = Bot()
    web.answer = bot.answer
    async with notifier(feishu(web, subject="{task_id} <at id=all></at>", text="# {error}")) as tells:
        tells.hear(update(error="<at id=all></at> ```"))
        await eventually(lambda: bot.cards)
    assert (title(bot.cards[0]), shown(bot.cards[0])) == ("r-1 <at id=all></at>", "# <at id=all></at> ```")
    assert all(element["text"]["tag"] == "plain_text" for element in bot.cards[0]["elements"])
    async with notifier(webhook(web, text='{{"id": "{task_id}"}}')) as tells:
        tells.hear(update('r"1'))
        requests = await web.wait_for(2)
    assert requests[1].json["tasks"][0]["text"] == '{"id": "r"1"}'
