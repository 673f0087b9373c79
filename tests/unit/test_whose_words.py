"""Of the error of a task it is known who said it; what others said is left as it is in any language."""

from __future__ import annotations

import re

import pytest

from gridsidecar.language import translator
from gridsidecar.language.chinese import CHINESE as CATALOGUE
from gridsidecar.language.failures import SENTENCES, in_letter, told_of, tripped
from gridsidecar.language.quoting import theirs, unmarked
from gridsidecar.rules.task import ErrorType

PLACES = {"n": "7", "word": "x", "signal": "SIGKILL", "ours": "no address", "theirs": "paid at attempt 2; retry later"}
ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,}")
NAMES = re.compile(r"`[^`]*`|text/plain|\bHTTP\b")
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|gridsidecar( [a-z-]+)*")
THREE_WORDS = re.compile(r"[A-Za-z][A-Za-z'-]*(?:,? [a-z][a-z'-]*){2,}")
CHINESE = translator("zh")


def filled(sentence: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: PLACES[place[1]], sentence)


def test_each_type_of_error_that_is_ours_has_its_sentences() -> None:
    ours = {str(each) for each in ErrorType} - {ErrorType.RETRY_EXHAUSTED, ErrorType.VALIDATION}
    assert set(SENTENCES) - {""} == ours


@pytest.mark.parametrize(("error_type", "sentence"), [(kind, each) for kind in SENTENCES for each in SENTENCES[kind]])
def test_a_sentence_of_ours_is_translated_and_what_is_quoted_in_it_is_not(error_type: str, sentence: str) -> None:
    english = filled(sentence)
    told = CHINESE(told_of(english, error_type, began=True))
    assert told.count(PLACES["theirs"]) == sentence.count("{theirs}")
    assert ENGLISH.findall(NAMES.sub("", told.replace(PLACES["theirs"], "").replace(PLACES["ours"], ""))) == []
    assert unmarked(told_of(english, error_type, began=True)) == english


@pytest.mark.parametrize("error_type", [*(str(each) for each in ErrorType), "OrderRefused", None])
@pytest.mark.parametrize(
    "said",
    [
        "paid at attempt 2",
        "retry later",
        "invalid order: must be a number",
        "exit status unknown",
        "no message; retry now",
    ],
)
def test_what_a_handler_said_is_not(error_type: str | None, said: str) -> None:
    assert CHINESE(told_of(said, error_type, began=True)) == said
    because = " (no retry, as max_retries is 0)"
    assert CHINESE(told_of(said + because, error_type, began=True)).startswith(f"{said}（")


@pytest.mark.parametrize("error_type", [None, "HandlerError", "HandlerExit", "OrderRefused"])
def test_words_of_ours_under_a_type_that_we_do_not_give_them_are_not_ours(error_type: str | None) -> None:
    for said in ("timed out after 2 s", "cancelled on request", "its worker died 3 times"):
        assert CHINESE(told_of(said, error_type, began=True)) == said


def test_a_message_that_no_handler_has_seen_is_refused_by_us() -> None:
    error = "The message must be a JSON object."
    assert CHINESE(told_of(error, "ValidationError", began=False)) == "消息必须是 JSON 对象。"
    assert CHINESE(told_of(error, "ValidationError", began=True)) == error


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("HandlerExit: exit status 3", "HandlerExit: 退出码 3"),
        ("PaymentError: exit status 3", "PaymentError: exit status 3"),
        ("PaymentError", "PaymentError"),
        ("retry later; paid at attempt 2", "retry later; paid at attempt 2"),
    ],
)
def test_why_a_breaker_paused_a_type(last: str, told: str) -> None:
    assert CHINESE(tripped(f"3 failed attempts in a row, the last: {last}")) == f"连续失败 3 次，最近一次：{told}"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("task-failed: RetryExhausted (HandlerExit): exit status 3", "RetryExhausted (HandlerExit): 退出码 3"),
        ("task-failed: HandlerExit: retry later: no message", "HandlerExit: retry later: no message"),
        ("task-failed: retry later: paid at attempt 2", "retry later: paid at attempt 2"),
    ],
)
def test_the_reason_of_a_dead_letter(reason: str, told: str) -> None:
    assert CHINESE(in_letter(reason)) == f"task-failed: {told}"


def test_quotes_in_a_sentence() -> None:
    assert CHINESE(f"no task {theirs('no such tasks')} in {theirs('a b')}") == "a b 中没有任务 no such tasks"
    assert translator("en")(f"no task {theirs('x y')} in it") == "no task x y in it"
    assert theirs("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "the receiver answered 500: paid at attempt 2; retry later",
        "handler d: ./x: it ended before it said that it is ready: exit status 3: paid at attempt 2; retry later",
        "timed out after 2 s; then it said: paid at attempt 2; retry later (NoMessage)",
    ],
)
def test_a_sentence_with_a_quote_that_nobody_marked(text: str) -> None:
    assert "paid at attempt 2; retry later" in CHINESE(text)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("x is not in PATH (/bin)", "PATH（/bin）中没有 x"),
        ("install it or give its full path in `command`", "请安装它，或在 `command` 中写完整路径"),
        ("pool_size 5 × processes 1 + 5 of the API = 10 of 500", "pool_size 5 × 进程 1 + API 的 5 = 10，上限 500"),
    ],
)
def test_what_doctor_tells_apart(english: str, chinese: str) -> None:
    assert CHINESE(english) == chinese


def test_what_happened_and_what_to_do_can_be_told_apart() -> None:
    """As `doctor` does it, whatever the order of the places is in Chinese."""
    left = {}
    for english, words in CATALOGUE.items():
        parts = english.split("; ")
        if len(parts) > 1 and len(parts) == len(words.split("；")):
            for part in (re.sub(r"\{[a-z_]*\}", "X1", part) for part in parts):
                if THREE_WORDS.search(QUOTED.sub("", CHINESE(part))):
                    left[part] = CHINESE(part)
    assert left == {}
