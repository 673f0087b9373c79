"""What people are told of breakers, by each channel and in either language."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.clock import SystemClock
from gridsidecar.language import translator
from gridsidecar.notify import email, feishu, webhook
from gridsidecar.notify.digest import BREAKERS, Digest
from gridsidecar.notify.dispatcher import Arrival, Dispatcher
from gridsidecar.notify.notifier import NoticeRoute
from gridsidecar.notify.rendering import Wording
from gridsidecar.notify.translations import CHINESE, ENGLISH
from gridsidecar.rules.flow import BreakerChange
from tests.notify.bot import MOST_BYTES, shown, title
from tests.notify.updates import MOMENT, ORIGIN, digest, update
from tests.support.waiting import eventually

OPENED = BreakerChange(task_type="mail", opened=True, failures=20, cool_down=60, error="no route to host")
CLOSED = BreakerChange(task_type="mail", opened=False)


def only(*changes: BreakerChange) -> Digest:
    made = Digest()
    for change in changes:
        made.add_breaker(change)
    return made


def test_a_mail_says_what_is_paused_and_why() -> None:
    assert email.subject(only(OPENED), ORIGIN, ENGLISH) == "[task_queue] Task type paused by its breaker: mail"
    text = email.text(only(OPENED), ORIGIN, ENGLISH)
    assert "Task type mail is paused: 20 failed attempts in a row. One task is tried in 60 s." in text
    assert "no route to host" in text
    assert email.subject(only(CLOSED), ORIGIN, CHINESE) == "[task_queue] 任务成功，熔断解除，任务类型已恢复：mail"


@pytest.mark.parametrize(
    ("error_type", "said", "told"),
    [
        ("HandlerExit", "exit status 3", "退出码 3"),
        ("PaymentError", "exit status 3", "exit status 3"),
        (None, "", "没有错误信息"),
    ],
)
def test_the_last_error_is_in_the_language_of_the_message_where_it_is_ours(
    error_type: str | None, said: str, told: str
) -> None:
    words = replace(CHINESE, translate=translator("zh"))
    opened = replace(OPENED, error=said, error_type=error_type)
    assert f"最后的错误：{told}\n" in email.text(only(opened), ORIGIN, words)


@pytest.mark.parametrize(("change", "colour"), [(OPENED, "red"), (CLOSED, "green")])
def test_a_card_has_the_colour_of_what_happened(change: BreakerChange, colour: str) -> None:
    made = feishu.card(only(change), ORIGIN, ENGLISH)
    assert (made["header"]["template"], "mail" in title(made), "mail" in shown(made)) == (colour, True, True)


def test_a_program_gets_it_as_data() -> None:
    made = webhook.message(only(OPENED, CLOSED), ORIGIN, MOMENT)
    assert (made["type"], made["tasks"], [one["state"] for one in made["breakers"]]) == (
        "breaker.closed",
        [],
        ["open", "closed"],
    )


def test_beside_tasks_it_comes_in_the_same_message() -> None:
    both = digest(update(), update("r-2"))
    both.add_breaker(OPENED)
    assert "no route to host" in email.text(both, ORIGIN, ENGLISH)
    assert webhook.message(both, ORIGIN, MOMENT)["type"] == "task.failed"
    assert (both.count, both.told) == (2, 3)


def test_many_breakers_with_long_errors_fit_into_a_card() -> None:
    many = digest(*(update(f"t{n}", error="e" * 10_000) for n in range(20)))
    for number in range(100):
        many.add_breaker(replace(OPENED, task_type=f"{number}" * 300, error="\x1b[31m" + "错" * 10_000))
    assert len(many.breakers) == BREAKERS
    made = feishu.card(many, ORIGIN, ENGLISH)
    assert len(str(made).encode()) < MOST_BYTES
    assert "\x1b" not in shown(made)


@pytest.mark.parametrize(
    ("on", "task_types", "hears"),
    [({"failed"}, (), True), ({"success"}, (), False), ({"failed"}, {"mail"}, True), ({"failed"}, {"other"}, False)],
)
async def test_whoever_hears_of_failed_tasks_hears_of_breakers(on: Any, task_types: Any, hears: bool) -> None:
    sent: list[Digest] = []

    class Kept:
        async def send(self, digest: Digest, message_id: str, moment: Any) -> None:
            sent.append(digest)

    wording = Wording(origin=ORIGIN)
    courier = Dispatcher(Arrival("n"), Kept(), wording=wording, interval=0, clock=SystemClock(), rng=random.Random(1))
    NoticeRoute(on, task_types, [courier]).hear_breaker(OPENED)
    if hears:
        await eventually(lambda: sent)
    await courier.close(1)
    assert [change for digest in sent for change in digest.breakers] == ([OPENED] if hears else [])
