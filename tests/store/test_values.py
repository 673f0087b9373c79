"""What goes into the database comes out as it was, and what it cannot take harms nobody else."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.reception import Insert
from gridsidecar.rules.task import Callback, Claim, Failed, Progress, Report, Status, Succeeded
from gridsidecar.store import RowRejected
from tests.store.direct import TASKS
from tests.store.workers import A, Two, decided, end, task

TRICKY = [
    "plain",
    "Grüße, 世界, Ω, ‮rtl",
    "emoji 👩‍👩‍👧 and 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    'it\'s "quoted" `here`',
    "back\\slash \\' \\\\ \\n \\0 \\Z \\%",
    "100 % %s %(name)s %% ? ?1 :name ::text {tasks} {now}",
    "line\nfeed\r\ttab\x00nul\x1a\x1b\x7f\x85\u2028",
    "'; DROP TABLE tasks; -- /* # */",
    " leading and trailing ",
    "",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    10**40,
    1.5e-7,
    "",
    [],
    {},
    [None, [1, {"a": []}]],
    {text: text for text in TRICKY},
]


async def started(two: Two, **fields: Any) -> Claim:
    received = await two.a.tasks.claim(task(fields=fields), A, 3)
    assert received.reception == Insert()
    assert received.claim is not None
    return received.claim


async def seen(two: Two, task_id: str = "t") -> dict[str, Any]:
    """The task as another worker's store shows it."""
    shown = await two.b.reading.get(task_id)
    assert shown is not None
    return shown


async def said(two: Two) -> str:
    """What the task's handler said, as another worker's store has it."""
    found = await two.b.output.page("t")
    assert found is not None
    return found.text


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
async def test_data_result_and_callback_data_come_back_as_they_were(two: Two, value: Any) -> None:
    claim = await started(two, data=value, callback=Callback(data=value))
    await end(two.a, claim, Succeeded(value))
    shown = await seen(two)
    assert (shown["data"], shown["result"], shown["callback_data"]) == (value, value, value)


@pytest.mark.parametrize("text", [text for text in TRICKY if text], ids=range(len(TRICKY) - 1))
async def test_texts_come_back_as_they_were(two: Two, text: str) -> None:
    claim = await started(two)
    await two.a.tasks.progress(claim, Progress(5, text))
    assert (await seen(two))["progress_message"] == text
    failed = Failed(error=text, error_type=text, traceback=text, retryable=False)
    report = Report(log_head=text, log_tail=text, stderr_tail=text, notes=(text,))
    await two.a.tasks.ends.commit(claim, decided(claim, failed), report, Progress())
    shown = await seen(two)
    assert (shown["error_message"], shown["error_type"], shown["traceback"]) == (text, text, text)
    (attempt,) = await two.b.reading.attempts("t")
    assert [attempt[name] for name in ("error_message", "stderr_tail", "notes")] == [text] * 3
    assert await said(two) == text * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(range(256)),
        b"".join(bytes([first, second]) for first in range(0, 256, 5) for second in b"'\"\\\x00\n\x80\xbf%:"),
        random.Random(4).randbytes(200_000),
    ],
    ids=["empty", "every byte", "every pair", "random"],
)
async def test_a_binary_body_comes_back_byte_for_byte(two: Two, body: bytes) -> None:
    await two.started(message=task(body=body))
    two.rows.expire("A")
    (wake_up,) = await two.b.leases.overdue(judge_others=True)
    assert wake_up.body == body


async def test_values_of_a_mebibyte_pass(two: Two) -> None:
    large = "ü%'" * 350_000
    claim = await started(two, data=large, callback=Callback(data=large))
    await end(two.a, claim, Succeeded([large]))
    shown = await seen(two)
    assert (shown["data"], shown["result"], shown["callback_data"]) == (large, [large], large)


async def test_many_large_results_at_once_are_all_stored(two: Two) -> None:
    """Together they are larger than what a MySQL server takes in one packet."""
    names = [f"big{number}" for number in range(24)]
    received = await asyncio.gather(*(two.a.tasks.claim(task(name), A, 0) for name in names))
    large = "x" * 1_000_000
    ends = await asyncio.gather(*(end(two.a, one.claim, Succeeded(large)) for one in received if one.claim))
    assert [one and one.status for one in ends] == [Status.SUCCESS] * len(names)
    rows = two.rows.run(f"SELECT LENGTH(result) AS size FROM {TASKS}")
    assert [row["size"] for row in rows] == [1_000_002] * len(names)


IDS = [
    "id",
    "ID",
    "Id",
    "íd",
    "i\u0301d",
    "ıd",
    "ß",
    "ss",
    "a",
    "a\u00a0",
    "a\u200b",
    "a.",
    "ａ",
    "😀",
    "😁",
    "x" * 255,
]


async def test_ids_are_compared_byte_for_byte(two: Two) -> None:
    received = await asyncio.gather(*(two.a.tasks.claim(task(task_id), A, 0) for task_id in IDS))
    assert [one.reception for one in received] == [Insert()] * len(IDS)
    for task_id, one in zip(IDS, received, strict=True):
        assert one.claim is not None
        await two.a.tasks.progress(one.claim, Progress(message=task_id))
    for task_id in IDS:
        shown = await seen(two, task_id)
        assert (shown["task_id"], shown["progress_message"]) == (task_id, task_id)


# -- what the database cannot take ------------------------------------------------------------------------------------


async def test_a_long_error_type_is_cut(two: Two) -> None:
    claim = await started(two)
    await end(two.a, claim, Failed(error="no", error_type="É" * 300, retryable=False))
    assert (await seen(two))["error_type"] == "É" * 255


async def test_a_long_error_is_cut_and_its_traceback_kept(two: Two) -> None:
    claim = await started(two)
    traceback = "at line 1 😀\n" * 9000
    await end(two.a, claim, Failed(error="😀" * 100_000, error_type="X", traceback=traceback, retryable=False))
    shown = await seen(two)
    assert (shown["error_message"], shown["traceback"]) == ("😀" * 16_000, traceback)


HALVES = ["\ud800", "a\udfffb", "\udc80", "\udcff'", "\udce2\udc28"]


@pytest.mark.parametrize("text", HALVES, ids=ascii)
async def test_half_a_surrogate_pair_is_replaced_wherever_it_comes(two: Two, text: str) -> None:
    """A handler may print one; UTF-8 columns cannot hold it."""
    claim = await started(two, data=text)
    assert await two.a.tasks.progress(claim, Progress(5, text))
    failed = Failed(error=text, error_type=text, traceback=text, retryable=False)
    report = Report(log_head=text, log_tail=text, stderr_tail=text, notes=(text,))
    await two.a.tasks.ends.commit(claim, decided(claim, failed), report, Progress(6, text))
    shown = await seen(two)
    clean = text.encode("utf-8", "replace").decode()
    assert (shown["status"], shown["data"]) == ("failed", text)
    assert [shown[name] for name in ("error_message", "error_type", "traceback", "progress_message")] == [clean] * 4
    (attempt,) = await two.b.reading.attempts("t")
    assert [attempt[name] for name in ("error_message", "stderr_tail", "notes")] == [clean] * 3
    assert await said(two) == clean * 2


async def test_many_long_notes_are_cut(two: Two) -> None:
    claim = await started(two)
    report = Report(notes=("ü" * 1000,) * 100)
    assert await two.a.tasks.ends.commit(claim, decided(claim, Succeeded(1)), report, Progress()) is not None
    assert (await seen(two))["status"] == "success"
    (attempt,) = await two.b.reading.attempts("t")
    assert attempt["notes"].startswith("ü" * 1000 + "; ü")


@pytest.mark.parametrize("result", [float("nan"), {"a": [float("inf")]}, {1, 2}], ids=["nan", "inf", "set"])
async def test_a_result_that_is_no_json_fails_the_task_and_says_so(two: Two, result: Any) -> None:
    claim = await started(two)
    transition = await end(two.a, claim, Succeeded(result))
    assert transition is not None
    assert transition.status is Status.FAILED
    shown = await seen(two)
    assert (shown["status"], shown["error_type"], shown["result"]) == ("failed", "HandlerError", None)
    assert "the database cannot store what the handler sent" in shown["error_message"]


@pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)
async def test_a_result_too_large_for_mysql_fails_the_task_and_says_so(two: Two) -> None:
    claim = await started(two)
    packet = int(two.rows.run("SELECT @@max_allowed_packet AS size")[0]["size"])
    transition = await end(two.a, claim, Succeeded("x" * packet))
    assert transition is not None
    assert transition.status is Status.FAILED
    shown = await seen(two)
    assert (shown["status"], shown["error_type"]) == ("failed", "HandlerError")
    assert "max_allowed_packet" in shown["error_message"]


async def test_one_rejected_write_leaves_the_others_of_its_flush_alone(two: Two) -> None:
    names = [f"t{number}" for number in range(20)]
    bad = [task(f"bad{number}", fields={"max_retry_count": 0, "timeout": 1.0}) for number in range(3)]
    unstorable = [
        replace(one, task_type="x" * 100_000, callback=Callback(url="y" * 10_000), priority=2**70) for one in bad
    ]
    answers = await asyncio.gather(
        *(two.a.tasks.claim(one, A, 0) for one in [*unstorable, *(task(name) for name in names)]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers[:3]] == [RowRejected] * 3
    assert sorted(row["id"] for row in two.rows.run(f"SELECT id FROM {TASKS}")) == sorted(names)
    claims = [answer.claim for answer in answers[3:] if not isinstance(answer, BaseException)]
    assert [claim and claim.task_id for claim in claims] == names


async def test_an_id_that_is_no_text_leaves_the_others_of_its_flush_alone(two: Two) -> None:
    names = ["a", "\ud800", "b", "\udc80", "c"]
    answers = await asyncio.gather(*(two.a.tasks.claim(task(name), A, 0) for name in names), return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert (kinds[1], kinds[3]) == (RowRejected, RowRejected)
    assert not any(isinstance(answers[place], BaseException) for place in (0, 2, 4))
