"""What can never run goes to the dead letters, untouched and with a reason; the next message goes on."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

LIMIT = 100_000

# body, properties, reason, the id under which it is recorded as failed (None: not usable)
UNUSABLE: dict[str, tuple[bytes, dict[str, Any], str, str | None]] = {
    "not JSON": (b"hello", {}, "not-json", None),
    "cut off": (b'{"task_id": "half"', {}, "not-json", None),
    "bad UTF-8": (b'{"task_id": "\xff\xfe"}', {}, "bad-utf-8", None),
    "empty": (b"", {}, "empty", None),
    "no object": (b'["task_id"]', {}, "not-an-object", None),
    "no task_id": (b'{"data": {}}', {}, "no-task-id", None),
    "task_id of a wrong type": (b'{"task_id": 7}', {}, "bad-task-id", None),
    "task_id empty": (b'{"task_id": ""}', {}, "bad-task-id", None),
    "task_id too long": (json.dumps({"task_id": "x" * 256}).encode(), {}, "bad-task-id", None),
    "task_id with a control character": (b'{"task_id": "a\\u0000b"}', {}, "bad-task-id", None),
    "wrong type of timeout": (b'{"task_id": "wrong1", "timeout": "soon"}', {}, "bad-field", "wrong1"),
    "wrong type of retries": (b'{"task_id": "wrong2", "max_retry_count": {}}', {}, "bad-field", "wrong2"),
    "5,000 levels deep": (b'{"task_id": "deep", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}", {}, "too-deep", "deep"),
    "a number of 6,000 digits": (b'{"task_id": "digits", "data": ' + b"9" * 6000 + b"}", {}, "bad-number", "digits"),
    "NaN": (b'{"task_id": "nan", "data": NaN}', {}, "bad-number", "nan"),
    "gzip without saying so": (gzip.compress(b'{"task_id": "zipped"}'), {}, "not-json", None),
    "not the gzip it says": (b'{"task_id": "unzipped"}', {"content_encoding": "gzip"}, "bad-encoding", None),
    "a gzip bomb": (gzip.compress(b" " * 10_000_000), {"content_encoding": "gzip"}, "too-large", None),
    "over the limit": (b'{"task_id": "large", "data": "' + b"x" * LIMIT + b'"}', {}, "too-large", None),
    "unknown task_type": (b'{"task_id": "stranger", "task_type": "x"}', {}, "unknown-task-type", "stranger"),
}


def config(place: Place) -> dict[str, Any]:
    """No default handler: only `known` tasks can run."""
    return place.config({"known": place.job("done")}, broker={"max_message_bytes": LIMIT})


async def test_every_unusable_message_is_a_dead_letter_with_a_reason(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(config(place))
    await sidecar.ready()
    for body, properties, _, _ in UNUSABLE.values():
        await place.publish_bodies(body, **properties)
    packed = gzip.compress(json.dumps({"task_id": "packed", "task_type": "known"}).encode())
    await place.publish_bodies(packed, content_encoding="gzip")
    await place.publish({"task_id": "after", "task_type": "known"})
    await eventually(lambda: place.status("packed") == place.status("after") == "success", timeout=30)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0, "a refused message was not acked"

    letters = place.dead_letters()
    assert [body for body, _ in letters] == [body for body, _, _, _ in UNUSABLE.values()]
    for (name, (_, _, reason, _)), (_, headers) in zip(UNUSABLE.items(), letters, strict=True):
        assert headers["x-gridsidecar-reason"].startswith(reason), name
        assert headers["x-gridsidecar-queue"] == place.queue

    rows = place.rows()
    recorded = {task_id for _, _, _, task_id in UNUSABLE.values() if task_id is not None}
    assert rows.keys() == recorded | {"packed", "after"}
    for task_id in recorded:
        assert (rows[task_id]["status"], rows[task_id]["error_type"]) == ("failed", "ValidationError")
        assert rows[task_id]["error_message"]
        assert rows[task_id]["attempt"] == 0
    assert sorted(place.journal.started) == ["after", "packed"]
    assert sidecar.text.count("message refused") == len(UNUSABLE)


@pytest.mark.parametrize("bad", [b'{"task_id": "mine", "timeout": []}', b'{"task_id": "mine", "data": NaN}'])
async def test_a_bad_message_leaves_a_living_and_an_ended_task_alone(place: Place, start: Start, bad: bytes) -> None:
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 2}))
    await place.publish({"task_id": "mine", "data": {"n": 1}})
    await eventually(lambda: place.journal.started)
    before = place.row("mine")
    await place.publish_bodies(bad)
    await sidecar.said("message refused")
    assert place.row("mine") == before
    gate.touch()
    await eventually(lambda: place.status("mine") == "success")
    before = place.row("mine")
    await place.publish_bodies(bad)
    await eventually(lambda: sidecar.text.count("message refused") == 2)
    assert place.row("mine") == before
    assert [body for body, _ in place.dead_letters()] == [bad, bad]
    assert place.journal.started == ["mine"]


async def test_properties_of_a_dead_letter_travel_with_it(place: Place, start: Start) -> None:
    start(place.config({"default": place.job("done")}))
    await place.publish_bodies(b"rubbish", headers={"tenant": "blue"}, correlation_id="c1", message_id="m1")
    ((body, headers),) = await eventually(place.dead_letters)
    assert body == b"rubbish"
    assert headers["tenant"] == "blue"
    assert headers["x-gridsidecar-reason"].startswith("not-json")


async def test_a_duplicate_of_an_ended_task_is_acked_and_not_run(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "once"}, {"task_id": "once"})
    await eventually(lambda: place.status("once") == "success")
    await place.publish({"task_id": "once"}, {"task_id": "next"})
    await eventually(lambda: place.status("next") == "success")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0
    assert place.journal.started == ["once", "next"]
    assert place.dead_letters() == []
