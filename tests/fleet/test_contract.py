"""What a fleet answers, wherever the answers come from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.broker import make_broker
from gridsidecar.cli.replaying import replay_letters
from gridsidecar.cli.task_sender import TaskSender
from gridsidecar.config.settings import Settings
from gridsidecar.errors import EX_FAILED, UsageError
from gridsidecar.fleet import Fleet, Outcomes, Submitted, TaskRefused, Where, reach
from gridsidecar.http import letters
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Callback, Message, NewOutput, OutputPart, Status, Succeeded
from gridsidecar.store import Filter, NotDriven, OperationKind, Wanted
from gridsidecar.telemetry import Readiness
from gridsidecar.wire.new_task import make_task
from tests.broker.bench import consuming, opened
from tests.store.workers import BOOM, QUEUE, Two, cancel, end, task


async def failed(two: Two, *ids: str, task_type: str = "mail") -> None:
    for task_id in ids:
        message = Message(body=f'{{"task_id": "{task_id}"}}'.encode(), message_id="first")
        claim = await two.started(retries=0, message=task(task_id, fields={"task_type": task_type}, body=message.body))
        await end(two.a, claim, BOOM)


async def gathered(outcomes: AsyncIterator[Outcomes]) -> dict[str, Steered]:
    found: dict[str, Steered] = {}
    async for some in outcomes:
        found |= some
    return found


# -- tasks ------------------------------------------------------------------------------------------------------------


async def test_one_task(fleet: Fleet, two: Two) -> None:
    assert await fleet.tasks.get("a/ä") is None
    assert await fleet.tasks.show("") is None
    await failed(two, "a/ä")
    seen, shown = await fleet.tasks.get("a/ä"), await fleet.tasks.show("a/ä")
    assert seen is not None
    assert shown is not None
    assert (seen["task_id"], seen["status"], seen["task_type"], seen["due_in_s"]) == ("a/ä", "failed", "mail", None)
    assert seen["created_at"].endswith("Z")
    (attempt,) = shown["attempts"]
    assert (attempt["outcome"], attempt["error_message"]) == ("failed", "boom")
    assert shown["callbacks"] == []


async def test_a_list_page_by_page(fleet: Fleet, two: Two) -> None:
    await failed(two, *(f"t{number}" for number in range(5)))
    await two.started(message=task("r"))
    wanted = Wanted(statuses=(Status.FAILED,))
    page = await fleet.tasks.listed(wanted, None, 3)
    assert len(page.tasks) == 3
    assert page.next == page.tasks[-1]["task_id"]
    rest = await fleet.tasks.listed(wanted, page.next, 3)
    assert rest.next is None
    assert {one["task_id"] for one in page.tasks + rest.tasks} == {f"t{number}" for number in range(5)}
    with pytest.raises(UsageError, match=r"--after nobody: there is no such task"):
        await fleet.tasks.listed(wanted, "nobody", 3)


async def test_a_list_with_data(fleet: Fleet) -> None:
    await fleet.queue.open()
    for number in range(23):  # more than an answer of the API has
        await fleet.queue.submit(make_task({"task_id": f"t{number}", "data": {"n": number}}, 1_000_000), print)
    plain = await fleet.tasks.listed(Wanted(), None, 1)
    assert "data" not in plain.tasks[0]
    whole = await fleet.tasks.listed(Wanted(), None, 30, with_data=True)
    assert {one["task_id"]: one["data"] for one in whole.tasks} == {f"t{n}": {"n": n} for n in range(23)}
    assert whole.next is None


async def test_lists_are_narrowed(fleet: Fleet, two: Two) -> None:
    await failed(two, "a1")
    await failed(two, "b1", task_type="other")
    now = datetime.now(UTC)

    async def ids(**wanted: Any) -> list[str]:
        return [one["task_id"] for one in (await fleet.tasks.listed(Wanted(**wanted), None, 10)).tasks]

    assert await ids(task_types=("mail",)) == ["a1"]
    assert sorted(await ids(task_types=("mail", "other"))) == ["a1", "b1"]
    assert await ids(id_prefix="b") == ["b1"]
    assert await ids(error_type="nothing") == []
    assert await ids(queue="q", since=now + timedelta(hours=1)) == []
    assert len(await ids(queue="q", since=now - timedelta(hours=1), until=now + timedelta(hours=1))) == 2


async def test_what_was_said(fleet: Fleet, two: Two) -> None:
    assert await fleet.tasks.newest("t") is None
    claim = await two.started()
    assert await fleet.tasks.newest("t") == (Status.RUNNING, 1)
    await two.a.output.write(claim, NewOutput((OutputPart(0, b"one\ntwo\n"),)))
    said = await fleet.tasks.output("t")
    assert said is not None
    assert (said.text, said.next, said.running, said.latest) == ("one\ntwo\n", 8, True, 1)
    rest = await fleet.tasks.output("t", 1, 4)
    assert rest is not None
    assert rest.text == "two\n"
    assert await fleet.tasks.output("t", 2) is None
    assert await fleet.tasks.output("nobody") is None


# -- steering ---------------------------------------------------------------------------------------------------------


async def test_a_few_are_cancelled(fleet: Fleet, two: Two) -> None:
    await failed(two, "f")
    await two.started(message=task("r"))
    outcomes = await fleet.steering.steer(OperationKind.CANCEL, ["f", "r", "later"])
    assert outcomes == {"f": Steered.FAILED, "r": Steered.ASKED, "later": Steered.NOTED}


async def test_a_few_run_again(fleet: Fleet, two: Two) -> None:
    await failed(two, "f")
    await cancel(two.a, "unseen")
    await end(two.a, await two.started(message=task("s")), Succeeded(result=None))
    outcomes = await fleet.steering.steer(OperationKind.RETRY, ["f", "s", "nobody", "unseen"])
    expected = [Steered.RETRIED, Steered.SUCCESS, Steered.NOT_FOUND, Steered.NOT_SEEN]
    assert [outcomes[one] for one in ("f", "s", "nobody", "unseen")] == expected
    assert (await fleet.queue.info())["ready"] == 1
    assert await fleet.steering.steer(OperationKind.RETRY, [""]) == {"": Steered.NOT_FOUND}


FAILED = Filter(statuses=(Status.FAILED,), queue="q", task_type="mail")


async def test_many_are_previewed_then_retried(fleet: Fleet, two: Two) -> None:
    ids = [f"t{number}" for number in range(7)]
    await failed(two, *ids)
    found = await fleet.steering.count(OperationKind.RETRY, FAILED)
    assert (found.count, found.asked) == (7, {"status": ["failed"], "queue": "q", "type": "mail"})
    assert await gathered(fleet.steering.preview(OperationKind.RETRY, [], FAILED)) == dict.fromkeys(
        ids, Steered.RETRIED
    )
    assert await fleet.steering.operations(5) == []
    operation = await fleet.steering.begin(OperationKind.RETRY, [], FAILED, 0.0)
    assert await gathered(fleet.steering.drive(operation)) == dict.fromkeys(ids, Steered.RETRIED)
    known = await fleet.steering.operation(operation)
    assert known is not None
    assert (known["kind"], known["tasks"], known["done"], known["outcomes"]) == ("retry", 7, 7, {"retried": 7})
    assert [one["operation"] for one in await fleet.steering.operations(5)] == [operation]
    assert [row async for row in fleet.steering.results(operation)] == [
        {"task_id": one, "outcome": "retried"} for one in ids
    ]
    assert not await fleet.steering.stop(operation)


async def test_a_preview_of_more_than_a_page(fleet: Fleet, two: Two) -> None:
    ids = [f"t{number:04}" for number in range(520)]
    await two.a.steering.cancel(ids)
    chosen = Filter(statuses=(Status.FAILED, Status.CANCELLED), queue="q")
    found = await gathered(fleet.steering.preview(OperationKind.RETRY, [], chosen))
    assert found == dict.fromkeys(ids, Steered.NOT_SEEN)


async def test_ids_as_an_operation(fleet: Fleet, two: Two) -> None:
    await failed(two, "a", "b")
    none = Filter(statuses=(Status.FAILED,), queue="q")
    assert await gathered(fleet.steering.preview(OperationKind.RETRY, ["a", "x"], none)) == {
        "a": Steered.RETRIED,
        "x": Steered.NOT_FOUND,
    }
    operation = await fleet.steering.begin(OperationKind.RETRY, ["a", "x"], none, 600.0)
    assert await gathered(fleet.steering.drive(operation)) == {"a": Steered.RETRIED, "x": Steered.NOT_FOUND}
    known = await fleet.steering.operation(operation)
    assert known is not None
    assert (known["spread_s"], known["asked"]) == (600.0, {"ids": 2})


async def test_operations_that_are_not_there(fleet: Fleet) -> None:
    assert await fleet.steering.operation("op_0123456789abcdef") is None
    assert await fleet.steering.operation("") is None
    assert not await fleet.steering.stop("op_0123456789abcdef")
    with pytest.raises(NotDriven, match="there is no operation"):
        await gathered(fleet.steering.drive("op_0123456789abcdef"))


# -- upkeep -----------------------------------------------------------------------------------------------------------


async def test_figures(fleet: Fleet, two: Two) -> None:
    await failed(two, "a")
    figures = await fleet.upkeep.figures(datetime.now(UTC) - timedelta(hours=1))
    assert figures["statuses"] == {"failed": 1}
    assert {"tasks", "callbacks", "letters", "workers", "pauses", "at_least"} <= figures.keys()
    assert (await fleet.upkeep.figures(datetime.now(UTC) + timedelta(hours=1)))["statuses"] == {}
    own, others = await fleet.upkeep.figures(None, QUEUE), await fleet.upkeep.figures(None, "another")
    assert (own["statuses"], others["statuses"]) == ({"failed": 1}, {})
    assert {one["queue"] for one in own["workers"]} <= {QUEUE}
    assert others["workers"] == []


async def test_pauses(fleet: Fleet) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    await fleet.upkeep.pause(["a/b", "c"], until, "a move")
    pauses = (await fleet.upkeep.figures(None))["pauses"]
    assert sorted((one["task_type"], one["reason"]) for one in pauses) == [("a/b", "a move"), ("c", "a move")]
    assert await fleet.upkeep.resume(["a/b", "never"]) == {"a/b"}


async def test_callbacks(fleet: Fleet, two: Two) -> None:
    message = task("t", fields={"callback": Callback(url="http://127.0.0.1:9/x")})
    await end(two.a, await two.started(retries=0, message=message), BOOM)
    (row,) = await fleet.upkeep.callbacks("t", None, 5)
    assert (row["task_id"], row["state"], row["tries"], row["kind"]) == ("t", "owed", 0, "http")
    assert await fleet.upkeep.callbacks(None, True, 5) == []
    assert await fleet.upkeep.callbacks("nobody", None, 5) == []
    assert await fleet.upkeep.replay(["t", row["id"], "nobody", ""]) == {"t": 1, row["id"]: 1, "nobody": 0, "": 0}
    assert await fleet.upkeep.replay_dead() == 0


async def test_a_callback_is_shown_whole_and_dropped(fleet: Fleet, two: Two) -> None:
    for name in ("a/ä", "b"):
        message = task(name, fields={"callback": Callback(url="http://127.0.0.1:9/x", data={"n": 1})})
        await end(two.a, await two.started(retries=0, message=message), BOOM)
    (row,) = await fleet.upkeep.callback("a/ä")
    assert await fleet.upkeep.callback(row["id"]) == [row]
    told = json.loads(row["body"])
    assert (told["task_id"], told["status"], told["result"]["error"]) == ("a/ä", "failed", "boom")
    assert await fleet.upkeep.callback("nobody") == await fleet.upkeep.callback("") == []
    assert len(await fleet.upkeep.callbacks(None, None, 5, owed=True)) == 2
    assert await fleet.upkeep.drop(["a/ä", "nobody", ""]) == {"a/ä": 1, "nobody": 0, "": 0}
    assert [one["task_id"] for one in await fleet.upkeep.callbacks(None, None, 5, owed=True)] == ["b"]
    assert await fleet.upkeep.drop_dead() == 0


async def test_those_that_were_given_up_are_dropped_and_no_others(fleet: Fleet, two: Two) -> None:
    for number in range(4):
        message = task(f"t{number}", fields={"callback": Callback(url="http://127.0.0.1:9/x")})
        await end(two.a, await two.started(retries=0, message=message), BOOM)
    taken = {one.task_id: one for one in (await two.a.outbox.take(60.0)).callbacks}
    await two.a.outbox.failed(taken["t0"], "refused", None)
    await two.a.outbox.failed(taken["t1"], "refused", None)
    await two.a.outbox.delivered(taken["t2"])
    assert await fleet.upkeep.drop(["t2"]) == {"t2": 0}, "that was sent, and is history"
    assert await fleet.upkeep.drop_dead() == 2
    assert {one["task_id"] for one in await fleet.upkeep.callbacks(None, None, 5)} == {"t2", "t3"}
    assert await fleet.upkeep.drop([taken["t3"].id]) == {taken["t3"].id: 1}
    assert not await two.a.outbox.delivered(taken["t3"]), "whoever sends it finds it gone"


# -- the queue --------------------------------------------------------------------------------------------------------


async def test_tasks_go_onto_the_queue(fleet: Fleet) -> None:
    await fleet.queue.open()
    told: list[str] = []
    new = make_task({"task_id": "ä", "data": {"x": [1]}, "priority": "high"}, 1_000_000)
    assert await fleet.queue.submit(new, told.append) == Submitted()
    assert (told, fleet.queue.without_rows) == (["ä"], None)
    row = await fleet.tasks.get("ä")  # it is there before any worker
    assert row is not None
    assert row["status"] == "pending"
    info = await fleet.queue.info()
    assert (info["queue"], info["exists"], info["ready"], info["dead"]) == ("q", True, 1, 0)


async def test_tasks_of_a_file_go_in_its_order(fleet: Fleet, settings: Settings, tmp_path: Path) -> None:
    ids = [f"t{number}" for number in range(100)]
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f'{{"task_id": "{task_id}", "data": []}}\n' for task_id in ids))
    told: list[str] = []
    await fleet.queue.open()
    await TaskSender(fleet.queue, 1_000_000, told.append).send_all(str(file), {}, False)
    async with opened(settings.broker) as broker, consuming(broker, prefetch=100) as inbox:
        assert [json.loads(one.message.body)["task_id"] for one in await inbox.get(100)] == ids
    assert told == ids


@pytest.mark.parametrize("where", ["remote"], indirect=True)
async def test_an_api_refuses_another_task_of_the_same_id(fleet: Fleet, two: Two) -> None:
    await failed(two, "t")
    with pytest.raises(TaskRefused, match="made of another message"):
        await fleet.queue.submit(make_task({"task_id": "t", "data": 5}, 1_000_000), print)


async def refused(settings: Settings, *bodies: bytes) -> None:
    broker = make_broker(settings.broker, Readiness())
    await broker.open()
    await broker.ensure_dead_letters()
    for body in bodies:
        await broker.dead_letter(Message(body=body), "not for us")
    await broker.close()


async def test_dead_letters(fleet: Fleet, two: Two, settings: Settings) -> None:
    await refused(settings, b'{"task_id": "a", "task_type": "mail"}', b"rubbish", b'{"task_id": "b"}')
    letters = await fleet.queue.letters(2)
    assert ([one["task_id"] for one in letters.found], letters.more) == (["a", None], True)
    assert (letters.found[0]["task_type"], letters.found[0]["task_status"]) == ("mail", None)
    (whole,) = await fleet.queue.letter("a")
    assert whole["body"] == '{"task_id": "a", "task_type": "mail"}'
    assert await fleet.queue.letter("nobody") == []
    told = [(one.letter and one.letter["task_id"], one.outcome) async for one in fleet.queue.replay({"a", "x"})]
    assert told == [("a", "sent")]
    assert [one async for one in fleet.queue.drop((), True)] == []
    assert [one and one["task_id"] async for one in fleet.queue.drop({"b"}, False)] == ["b"]
    (last,) = [one async for one in fleet.queue.drop((), False)]
    assert last is not None
    assert last["task_id"] is None
    assert (await fleet.queue.info())["dead"] == 0


async def test_letters_that_an_api_does_not_name_are_counted(
    where: Where, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(letters, "TOLD", 3)
    await refused(settings, *(b'{"task_id": "t%d"}' % number for number in range(5)), b"rubbish", b"rubbish")
    assert await replay_letters(where, set(), as_json=False) == EX_FAILED, "rubbish would be refused again"
    assert "5 replayed, 2 left where they are" in capsys.readouterr().err
    async with reach(where) as fleet:
        assert len([one async for one in fleet.queue.drop((), False)]) == 2
    await refused(settings, *(b'{"task_id": "d%d"}' % number for number in range(5)))
    async with reach(where) as fleet:
        assert len([one async for one in fleet.queue.drop((), False)]) == 5
