"""What an attempt says, stored while it says it: by its worker alone, gone with its end, left by one that died."""

from __future__ import annotations

from typing import Any

import pytest

from gridsidecar.handler.capture import LogText
from gridsidecar.rules.task import Claim, NewOutput, OutputPart, Progress, Report, Status, Succeeded
from gridsidecar.store import OutputPage, Store
from tests.store.direct import LONG_AGO, TASKS
from tests.store.workers import BOOM, Two, decided, delayed, open_store, worker

TEXT = "😀 й\n"


def part(start: int, text: str | bytes) -> NewOutput:
    return NewOutput((OutputPart(start, text if isinstance(text, bytes) else text.encode()),))


async def said(store: Store, *asked: Any) -> OutputPage:
    found = await store.output.page("t", *asked)
    assert found is not None
    return found


def parts(two: Two) -> int:
    return int(two.rows.run(f"SELECT COUNT(*) AS n FROM {TASKS}_output")[0]["n"])


async def ended(store: Store, claim: Claim, report: Report, outcome: Any = None) -> None:
    end = decided(claim, outcome or Succeeded(1))
    assert await store.tasks.ends.commit(claim, end, report, Progress(), output_stored=True) == end


async def test_a_running_attempt_is_read_by_others_from_any_byte_on(two: Two) -> None:
    claim = await two.started()
    assert (await said(two.b)).pieces == ()
    assert await two.a.output.write(claim, part(0, "one\n"))
    assert await two.a.output.write(claim, part(0, "one\ntwo\n"))  # it grows
    assert await two.a.output.write(claim, part(8, TEXT))
    found = await said(two.b)
    assert (found.text, found.next, found.running, found.outcome) == (f"one\ntwo\n{TEXT}", 16, True, None)
    assert (found.attempt, found.worker, found.worker_id, found.ended_at) == (1, "one", "A", None)
    assert (await said(two.b, 1, 4)).text == f"two\n{TEXT}"
    assert (await said(two.b, 1, 16)) == (await said(two.b, None, 16))
    assert (await said(two.b, 1, 16)).pieces == ()
    assert (await said(two.b, 1, 99)).next == 99


async def test_there_is_nothing_of_what_is_not_there(two: Two) -> None:
    assert await two.a.output.page("t") is None
    await two.started()
    assert [await two.a.output.page("t", attempt) for attempt in (-1, 2)] == [None, None]
    assert await two.a.output.newest("t") == (Status.RUNNING, 1)
    assert await two.a.output.newest("other") is None


async def test_what_is_gone_in_between_is_told(two: Two) -> None:
    claim = await two.started()
    await two.a.output.write(claim, part(0, "head"))
    for start in (100, 200, 300):
        await two.a.output.write(claim, part(start, "x" * 100))
    gone = NewOutput((OutputPart(400, b"end"),), outdated=(4, 300))
    assert await two.a.output.write(claim, gone)
    found = await said(two.b)
    assert [(len(piece.text), piece.left_out) for piece in found.pieces] == [(4, 0), (103, 296)]
    assert [(piece.text, piece.left_out) for piece in (await said(two.b, 1, 2)).pieces[:1]] == [("ad", 0)]
    assert [(len(piece.text), piece.left_out) for piece in (await said(two.b, 1, 250)).pieces] == [(103, 50)]
    assert parts(two) == 3


async def test_half_a_character_waits_for_its_rest(two: Two) -> None:
    claim = await two.started()
    data = TEXT.encode()
    since, shown = 0, ""
    for size in range(1, len(data) + 1):
        await two.a.output.write(claim, part(0, data[:size]))
        found = await said(two.b, 1, since)
        since, shown = found.next, shown + found.text
    assert shown == TEXT


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\xe4", b"a\xe4\xb8b\xf0\x9f", b"\x80\x80\x80\x80\x80", b"\0\r\n\x1b"])
async def test_bytes_that_are_no_text_are_shown_whole_once_it_has_ended(two: Two, data: bytes) -> None:
    claim = await two.started()
    await two.a.output.write(claim, part(0, data))
    live = await said(two.b)
    text = data.decode("utf-8", "replace")
    assert text.startswith(live.text)
    assert len(text) - len(live.text) <= 1
    await ended(two.a, claim, Report(log_head=text))
    assert (await said(two.b)).text == text


async def test_the_end_has_all_of_it_and_the_parts_go(two: Two) -> None:
    claim = await two.started()
    await two.a.output.write(claim, part(0, "one\ntw"))
    assert (await said(two.b)).next == 6
    await ended(two.a, claim, Report(log_head="one\ntwo\n", log_tail="ten\n", log_dropped_bytes=500, stderr_tail="e"))
    assert parts(two) == 0
    rest = await said(two.b, 1, 6)
    assert [(piece.text, piece.left_out) for piece in rest.pieces] == [("o\n", 0), ("ten\n", 500)]
    assert (rest.running, rest.outcome, rest.status, rest.stderr_tail) == (False, "success", Status.SUCCESS, "e")
    assert (await said(two.b, 1, rest.next)).pieces == ()


async def test_what_comes_after_the_end_is_not_stored(two: Two) -> None:
    claim = await two.started()
    await ended(two.a, claim, Report(log_head="x"))
    assert not await two.a.output.write(claim, part(0, "late"))
    assert parts(two) == 0


async def test_a_log_that_the_database_refuses_is_kept_in_its_parts(two: Two) -> None:
    """The end goes without it; what is stored already is all that there is."""
    claim = await two.started()
    await two.a.output.write(claim, part(0, "what was said"))
    await ended(two.a, claim, Report(notes=("its log is left out, …",)))
    assert (await said(two.b)).text == "what was said"


async def test_the_parts_of_a_lost_attempt_stay_and_nobody_adds_to_them(two: Two) -> None:
    first = await two.started()
    await two.a.output.write(first, part(0, "until then"))
    two.rows.expire("A")
    second = (await two.deliver_to_b(delayed(1))).claim
    assert second is not None
    assert not await two.a.output.write(first, part(10, "too late"))
    transition = decided(first, Succeeded(1))
    report = Report(log_head="until then too late")
    assert await two.a.tasks.ends.commit(first, transition, report, Progress(), output_stored=True) is None
    lost = await said(two.b, 1)
    assert (lost.text, lost.lost, lost.running, lost.worker) == ("until then", True, False, "one")
    await two.b.output.write(second, part(0, "again"))
    assert [(await said(two.a, number)).text for number in (1, 2, None)] == ["until then", "again", "again"]
    await ended(two.b, second, Report(log_head="again"))
    assert parts(two) == 1


async def test_the_history_names_workers(two: Two) -> None:
    first = await two.started()
    assert (await two.b.reading.get("t") or {})["worker"] == "one"
    two.rows.expire("A")
    taken = await two.b.tasks.claim(delayed(1), worker("B", worker_name="pod-2"), 3)
    assert taken.rescued is not None
    assert (taken.rescued.worker, taken.rescued.attempt) == ("one", first.attempt)
    assert taken.rescued.silent_for is not None
    assert taken.rescued.silent_for > 60  # its lease, and some more
    assert taken.claim is not None
    await ended(two.b, taken.claim, Report(), BOOM)
    history = await two.b.reading.attempts("t")
    assert [(row["outcome"], row["worker_id"], row["worker"]) for row in history] == [
        ("lost", "A", "one"),
        ("failed", "B", "pod-2"),
    ]
    assert "its worker one stopped" in history[0]["error_message"]


async def test_a_dead_worker_that_nobody_knows_any_more_has_its_id_for_a_name(two: Two) -> None:
    await two.started()
    two.rows.run(f"DELETE FROM {TASKS}_workers WHERE id = 'A'")
    taken = (await two.deliver_to_b(delayed(1))).rescued
    assert taken is not None
    assert (taken.worker, taken.silent_for) == ("A", None)
    assert (await two.b.reading.attempts("t"))[0]["worker"] == "A"


async def test_the_end_of_a_task_whose_worker_died_too_often_names_it(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    closed = await two.deliver_to_b(delayed(1), max_crashes=0)
    assert closed.rescued is not None
    row = await two.b.reading.get("t")
    assert row is not None
    assert (row["status"], row["error_type"]) == ("failed", "WorkerLost")
    assert row["error_message"].endswith("the last time on one")


async def test_retention_takes_what_was_said(two: Two) -> None:
    first = await two.started()
    await two.a.output.write(first, part(0, "until then"))
    two.rows.expire("A")
    second = (await two.deliver_to_b(delayed(1))).claim
    assert second is not None
    await ended(two.b, second, Report())
    two.rows.set("t", created_at=LONG_AGO, updated_at=LONG_AGO, completed_at=LONG_AGO)
    pruner = await open_store(two.url, migrate=None, retention_days=3)
    try:
        assert await pruner.retention.prune() == 1
    finally:
        await pruner.close()
    assert parts(two) == 0


@pytest.mark.parametrize(
    "data",
    ["汉字 输出\n".encode("gbk") * 40, "\ufffd é\n".encode() * 40, bytes(range(256)) * 9],
    ids=["gbk", "replaced", "bytes"],
)
async def test_the_end_of_what_is_no_utf8_is_shown_once_and_whole(two: Two, data: bytes) -> None:
    """The history has one character for several bytes that are none."""
    claim = await two.started()
    assert await two.a.output.write(claim, part(0, data))
    first = await said(two.b)
    log = LogText()
    log.write(data + b"the last line\n", "stdout")
    await ended(two.a, claim, Report(duration_s=1, log_head=log.head, log_tail=log.tail))
    rest = await said(two.b, 1, first.next, len(first.text))
    assert first.text + rest.text == (data + b"the last line\n").decode("utf-8", "replace")
    assert not any(piece.left_out for piece in rest.pieces)
    assert (await said(two.b, 1, first.next)).text.endswith("the last line\n"), "who does not count sees the end, too"
