"""The card: what it shows, that no task's text can break it, and that it is never too large."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gridsidecar.language import translator
from gridsidecar.notify.digest import Digest
from gridsidecar.notify.feishu import card, problem_of, signature, signed
from gridsidecar.notify.rendering import NoticeOrigin
from gridsidecar.notify.translations import CHINESE, ENGLISH, Translations
from gridsidecar.outbound import Reply
from gridsidecar.rules.task import Report, Status
from tests.notify.bot import MOST_BYTES, shown, title
from tests.notify.updates import MOMENT, ORIGIN, digest, update


def code_of(made: dict[str, Any]) -> str:
    """The content of the only element that is read as Markdown."""
    (element,) = [element for element in made["elements"] if element["tag"] == "markdown"]
    return str(element["content"])


@pytest.mark.parametrize(
    ("status", "colour", "english", "chinese"),
    [
        (Status.FAILED, "red", "Task failed: resize", "任务失败：resize"),
        (Status.RETRYING, "orange", "Task retrying: resize", "任务等待重试：resize"),
        (Status.CANCELLED, "grey", "Task cancelled: resize", "任务已取消：resize"),
        (Status.SUCCESS, "green", "Task success: resize", "任务成功：resize"),
    ],
)
def test_colour_and_title_say_what_happened(status: Status, colour: str, english: str, chinese: str) -> None:
    for words, expected in ((ENGLISH, english), (CHINESE, chinese)):
        made = card(digest(update(status=status)), ORIGIN, words)
        assert (made["header"]["template"], title(made)) == (colour, expected)


def test_one_failed_task_in_full() -> None:
    failed = update(
        attempt=4,
        retry_count=3,
        max_retry_count=3,
        error_type="RetryExhausted",
        last_error_type="NotFound",
        traceback="Traceback (most recent call last):\nKeyError: 'url'",
        report=Report(duration_s=3.21, stderr_tail="not shown beside a traceback"),
    )
    assert shown(card(digest(failed), ORIGIN, ENGLISH)).splitlines() == [
        *("Task", "r-1", "Type", "resize", "Queue", "task_queue", "Worker", "pod-1"),
        *("Attempt", "4 of 4", "Took", "3.2 s", "Time", "2026-01-02 03:04:05 UTC"),
        "--",
        "RetryExhausted (NotFound): no such image",
        "Traceback",
        "```",
        "Traceback (most recent call last):",
        "KeyError: 'url'",
        "```",
    ]


def test_the_same_in_chinese() -> None:
    text = shown(card(digest(update(attempt=2, retry_count=1, max_retry_count=3)), ORIGIN, CHINESE))
    assert "任务\nr-1\n类型\nresize\n队列\ntask_queue" in text
    assert "第 2 次，共 4 次" in text


def test_without_a_traceback_the_end_of_stderr_is_shown() -> None:
    made = card(digest(update(report=Report(stderr_tail="line 1\nline 2\n"))), ORIGIN, ENGLISH)
    assert "End of stderr" in shown(made)
    assert code_of(made) == "```\nline 1\nline 2\n```"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"attempt": 1, "status": Status.RETRYING, "retry_count": 1, "max_retry_count": 3}, "1 of 4"),
        ({"attempt": 3, "retry_count": 2, "max_retry_count": 2}, "3 of 3"),
        ({"attempt": 5, "retry_count": 2, "max_retry_count": 2}, "5 of 5"),  # two of them were given back
        ({"attempt": 3, "status": Status.RETRYING, "retry_count": 1, "max_retry_count": 3}, "3 of 6"),
        ({"attempt": 3, "report": None}, "3"),  # ended without an attempt: nobody knows how many there would be
    ],
)
def test_attempts_that_cost_no_retry_come_on_top(fields: dict[str, Any], expected: str) -> None:
    lines = shown(card(digest(update(**fields)), ORIGIN, ENGLISH)).splitlines()
    assert lines[lines.index("Attempt") + 1] == expected


def test_a_task_that_never_ran_shows_no_attempt() -> None:
    text = shown(card(digest(update(attempt=0, report=None, error_type="ValidationError")), ORIGIN, ENGLISH))
    assert "Attempt" not in text
    assert "Task\nr-1" in text


@pytest.mark.parametrize(("words", "expected"), [(ENGLISH, "Message refused"), (CHINESE, "消息被拒绝")])
def test_a_message_without_an_id_is_told_as_refused_with_the_reason(words: Translations, expected: str) -> None:
    fields = {"task_type": "default", "attempt": 0, "report": None, "error_type": "ValidationError"}
    refused = update("", error="task_id is missing", **fields)
    one = card(digest(refused), ORIGIN, words)
    assert title(one) == expected
    assert shown(one).splitlines() == [
        *(words.queue, "task_queue", words.worker, "pod-1", words.time, "2026-01-02 03:04:05 UTC"),
        "--",
        "ValidationError: task_id is missing",
    ]
    assert f"{expected} · ValidationError: task_id is missing" in shown(card(digest(refused, update()), ORIGIN, words))


def test_many_tasks_are_counted_and_the_first_ten_listed() -> None:
    made = card(
        digest(
            *(update(f"r-{n}", error=f"no image {n}") for n in range(1000)),
            *(update(f"s-{n}", Status.SUCCESS) for n in range(2000)),
            *(update(f"i-{n}", task_type="invoice", error_type="RetryExhausted", last_error_type="Net") for n in "ab"),
        ),
        ORIGIN,
        ENGLISH,
    )
    assert (made["header"]["template"], title(made)) == ("red", "3,002 tasks: 1,002 failed, 2,000 success")
    assert shown(made).splitlines() == [
        *("Queue", "task_queue", "Worker", "pod-1"),
        "1,000 × failed · resize · NotFound",
        "2 × failed · invoice · Net",
        "2,000 × success · resize",
        "--",
        *(f"r-{n} · NotFound: no image {n}" for n in range(10)),
        "and 2,992 more",
    ]
    chinese = card(digest(update(), update("b", Status.CANCELLED)), ORIGIN, CHINESE)
    assert title(chinese) == "2 个任务：1 个失败，1 个已取消"


def test_it_says_how_many_notices_were_lost_before() -> None:
    content = digest(update())
    content.undelivered = 1234
    assert shown(card(content, ORIGIN, ENGLISH)).endswith("\nnotices before this one that nobody took: 1,234")


HOSTILE = [
    '"',
    "\\",
    "\n",
    "`",
    "```",
    "<at id=all></at>",
    "<a",
    "*",
    "🦄",
    "\x1b[31m",
    "\x00",
    "\u202e",
    "\ud800",
    "é",
]


def hostile(text: str) -> Digest:
    """One task whose every text is as long as it may be, or longer."""
    return digest(
        update(
            (text * 255)[:255],
            task_type=(text * 100)[:100],
            error=(text * 4096)[:4096],
            error_type=(text * 255)[:255],
            last_error_type=(text * 255)[:255],
            traceback=(text * 65536)[:65536],
        )
    )


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_breaks_a_card_or_makes_it_too_large(text: str) -> None:
    origin = NoticeOrigin(queue=(text * 200)[:200], worker=(text * 1000)[:1000])
    one = hostile(text)
    many = Digest()
    many.notices, many.kinds = one.notices * 10, one.kinds + one.kinds
    for content in (one, many):
        body = json.dumps(signed(card(content, origin, CHINESE), "secret", MOMENT), ensure_ascii=False).encode()
        assert len(body) < MOST_BYTES - 500


@pytest.mark.parametrize("field", ["traceback", "stderr"])
def test_a_code_block_stays_one_and_mentions_nobody(field: str) -> None:
    text = "File <module>\n```\n<at id=all></at> </at><at user_id='x'>\n````<person>\x1b[31mred\x1b[0m\r\nend"
    report = Report(stderr_tail=text if field == "stderr" else "")
    code = code_of(
        card(digest(update(traceback=text if field == "traceback" else None, report=report)), ORIGIN, ENGLISH)
    )
    assert code.startswith("```\nFile ")
    assert code.endswith("red\nend\n```")
    assert code.count("```") == 2
    assert not {"<at", "</at", "<person"} & set(code.replace(" ", "\n").split("\n"))
    assert all(tag not in code for tag in ("<at", "</at", "<person", "\x1b"))
    assert code.replace("\u200b", "").splitlines()[1:4] == [
        "File <module>",
        "```",
        "<at id=all></at> </at><at user_id='x'>",
    ]


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_makes_a_card(error: str, traceback: str) -> None:
    made = card(digest(update(error, error=error, error_type=error, traceback=traceback)), ORIGIN, ENGLISH)
    json.dumps(made, ensure_ascii=False).encode()
    for element in made["elements"]:
        if element["tag"] == "markdown":
            assert element["content"].count("```") == 2
    assert {element["tag"] for element in made["elements"]} <= {"div", "hr", "markdown"}


def test_a_long_traceback_keeps_its_end() -> None:
    code = code_of(card(digest(update(traceback="x" * 60_000 + "\nKeyError: 'url'")), ORIGIN, ENGLISH))
    assert code.startswith("```\n…x")
    assert code.endswith("KeyError: 'url'\n```")


def test_the_signature_is_feishus() -> None:
    # The result of the example in Feishu's documentation.
    assert signature("demo", "1599360473") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (200, '{"code":9499,"msg":"Bad Request","data":{}}', "HTTP 200, code 9499: Bad Request"),
        (400, '{"code":19001,"msg":"param invalid"}', "HTTP 400, code 19001: param invalid"),
        (200, '{"StatusCode":9499,"StatusMessage":"fail"}', "HTTP 200, code 9499: fail"),
        (200, "<html>a proxy's page</html>", "HTTP 200: <html>a proxy's page</html>"),
        (500, '{"code":0}', 'HTTP 500, code 0: {"code":0}'),
        (200, "[0]", "HTTP 200: [0]"),
        (502, "", "HTTP 502: an empty answer"),
        (200, "", "HTTP 200: an empty answer"),
    ],
)
def test_what_feishu_does_not_take_is_told_in_its_words(status: int, text: str, reason: str) -> None:
    problem = problem_of(Reply(status, None, text))
    assert problem is not None
    assert problem.reason == reason


@pytest.mark.parametrize("text", ['{"code":0,"msg":"success"}', '{"StatusCode":0,"StatusMessage":"success"}'])
def test_what_feishu_takes(text: str) -> None:
    assert problem_of(Reply(200, None, text)) is None


@pytest.mark.parametrize(
    ("error_type", "said", "told"),
    [
        ("TimeoutError", "timed out after 30 s", "30 秒后超时"),
        ("PaymentError", "timed out after 30 s", "timed out after 30 s"),
        ("HandlerExit", "exit status 3", "退出码 3"),
        ("HandlerError", "exit status 3", "exit status 3"),
    ],
)
def test_our_errors_are_told_in_its_language_and_a_handlers_own_as_it_said_them(
    error_type: str, said: str, told: str
) -> None:
    words = replace(CHINESE, translate=translator("zh"))
    text = shown(card(digest(update(error=said, error_type=error_type)), ORIGIN, words))
    assert f"{error_type}: {told}" in text
