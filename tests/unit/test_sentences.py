"""A finished sentence is found in the catalogue by the line that is its own; what others say is left as it is."""

from __future__ import annotations

import re
import time

import pytest

from gridsidecar import language
from gridsidecar.language.chinese import CHINESE
from gridsidecar.language.sentence_translator import SentenceTranslator

PLACE = re.compile(r"\{[a-z_]*\}")
NAMED = re.compile(r"\{(\d?)[a-z_]*\}")


@pytest.mark.parametrize(
    "values", [["X1", "X2", "X3", "X4", "X5", "X6"], ["1", "2", "3", "4", "5", "6"]], ids=["names", "figures"]
)
def test_each_sentence_is_told_by_its_own_line(values: list[str]) -> None:
    """However many lines of fewer words would fit as well."""
    translated = SentenceTranslator(CHINESE).translated
    taken = {}
    for english, words in CHINESE.items():
        if "}{" in english:  # pieces, which begin with a joint or are empty
            continue
        at, its_at = iter(values), iter(values)
        text = PLACE.sub(lambda _, at=at: next(at), english).strip()  # type: ignore[misc]
        expected = NAMED.sub(lambda m, at=its_at: values[int(m[1])] if m[1] else next(at), words).strip()  # type: ignore[misc]
        if (told := translated(text)) != expected:
            taken[text] = told
    assert taken == {}


def test_what_follows_another_sentence_is_told_by_its_own_line() -> None:
    translated = SentenceTranslator(CHINESE).translated
    taken = {}
    for english, words in CHINESE.items():
        if english.startswith((", ", "; ", ": ", ". ")) and words.startswith(("，", "；", "：", "。")):
            told = translated("X1 is valid" + PLACE.sub("7", english))
            if told != "X1 有效" + NAMED.sub("7", words):
                taken[english] = told
    assert taken == {}


CATALOGUE = {
    "no task {} in {}": "{1} 中没有任务 {0}",
    "it is gone": "它已不在",
    "it is gone for {} s": "它已离开 {} 秒",
    "no broker": "没有 broker",
    "{} is away: {}": "{} 不可用：{}",
    "the API at {} fails: {}": "{} 的 API 失败：{}",
    "{} cannot be asked: {}": "无法询问 {}：{}",
    "{} lies in {}": "{1} 中有 {0}",
    "{} is buried in {}": "{1} 中埋有 {0}",
    "task": "任务",
    "{} is broken; mend {}": "{} 已损坏；请修理 {}",
}


@pytest.mark.parametrize(
    ("english", "translated"),
    [
        ("it is gone", "它已不在"),
        ("no task a b in c", "c 中没有任务 a b"),
        ("it is gone for 3 s", "它已离开 3 秒"),
        ("the store is away: it is gone for 3 s", "the store 不可用：它已离开 3 秒"),
        ("the API at h fails: g cannot be asked: no broker", "h 的 API 失败：无法询问 g：没有 broker"),
        ("f.yaml:3: store.url = 5: it is gone; no broker", "f.yaml:3: store.url = 5: 它已不在；没有 broker"),
        ("it is gone\n  no broker\nrest", "它已不在\n  没有 broker\nrest"),
        ("no task task in task", "task 中没有任务 task"),  # a name stays a name
        ("at 1, to y: a task is buried in c", "at 1, to y: c 中埋有 a task"),  # not an "at 1, to y: a task"
        ("1 h 5 min lies in 2026-01-31 08:00:00 UTC", "2026-01-31 08:00:00 UTC 中有 1 h 5 min"),
        ("who knows lies in somebody else", "who knows lies in somebody else"),
        ("a b is broken", "a b 已损坏"),  # what happened and what to do, told apart
        ("mend b-c", "请修理 b-c"),
        ("somebody else said: this", "somebody else said: this"),
        ("", ""),
        ("{}", "{}"),
        ("no task {0} in {1}", "{1} 中没有任务 {0}"),
    ],
)
def test_a_finished_sentence_is_found(english: str, translated: str) -> None:
    assert SentenceTranslator(CATALOGUE).translated(english) == translated


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("E: with 3 tasks at once: h closed the connection before its answer was complete", "E: 当时共有 3 个任务：h "),
        ("HandlerExit: exit 3 (of an earlier attempt)", "HandlerExit: 退出码 3（之前一次执行的）"),
        (
            "4 tasks: 2 to run again; 1 left alone, being success; 1 unknown",
            "4 个任务：2 个将再次运行；1 个未改动，状态是 success；1 个未知",
        ),
        ("exit 3 after its terminal message, which decides", "退出码 3 在终结消息之后；以消息为准"),
        ("14 bytes of 1,048,576", "14 字节，上限 1,048,576"),
        (
            "the API at http://h: The token is missing: send it as Authorization: Bearer TOKEN. "
            "(T holds the token that is sent)",
            "http://h 的 API：token 缺失：请以 Authorization: Bearer TOKEN 发送。（发送的 token 在 T 中）",
        ),
        (
            "the API at http://h: This token may read only; what changes something needs http.token. "
            "(T holds the token that is sent)",
            "http://h 的 API：此 token 只能读取；要作改动需要 http.token。（发送的 token 在 T 中）",
        ),
        (
            "the API at http://h: Somebody said: something else. (T holds the token that is sent)",
            "http://h 的 API：Somebody said: something else.（发送的 token 在 T 中）",
        ),
        (
            "owed, 1 try, next at 2026-12-01 01:38:26 UTC, to http://x/y: the receiver answered 500",
            "owed，已尝试 1 次，下次在 2026-12-01 01:38:26 UTC，发往 http://x/y：接收方应答 500",
        ),
        ('priority: "12" is above 9, the highest.', 'priority: "12" 超过最高值 9。'),
        ("line 7: priority: 99 is above 9, the highest.", "第 7 行：priority: 99 超过最高值 9。"),
    ],
)
def test_what_a_task_and_a_check_tell(english: str, chinese: str) -> None:
    assert language.translator("zh")(english).startswith(chinese)


def test_texts_of_others_are_soon_given_up() -> None:
    sentences = SentenceTranslator(CHINESE)
    for text in ("a b, " * 700, "x y: " * 700, "must be (" * 400, "a b\n" * 900, "no task " * 400):
        assert sentences.translated(text).split()[-1]


@pytest.mark.parametrize(
    ("english", "chinese"),
    [("paused until resumed", "已暂停，直到 resume"), ("must be a number of at least 0", "必须是不小于 0 的数")],
)
def test_a_short_sentence_has_others_of_ours_in_it(english: str, chinese: str) -> None:
    assert SentenceTranslator(CHINESE).translated(english) == chinese


@pytest.mark.parametrize(
    "text",
    [
        "attempt to divide by zero",
        "connection to upstream at 10.0.0.1 failed",
        "retry limit exceeded",
        "item not found",
    ],
)
def test_what_others_say_is_not_taken_for_ours(text: str) -> None:
    assert SentenceTranslator(CHINESE).translated(text) == text


def test_a_text_that_is_made_of_ours_holds_nobody_up() -> None:
    pieces = [re.sub(r"\{[^}]*\}", "x y", text) for text in CHINESE if "; " in text or ": " in text]
    text = ": ".join(pieces)[:3900]
    began = time.process_time()
    assert SentenceTranslator(CHINESE).translated(text)
    assert time.process_time() - began < 3  # 17 seconds without a limit
