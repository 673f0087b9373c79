"""Messages of 100 MB: refused, kept as they are, and forgotten; the work beside them goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.faults.test_abuse_output import MEBIBYTE, peak_bytes
from tests.support.place import Place
from tests.support.services import private_rabbitmq
from tests.support.waiting import eventually

SIZE = 100_000_000
AT_ONCE = 3  # the prefetch
SENT = 3


def giant(number: int) -> bytes:
    head = b'{"task_id": "giant%d", "data": "' % number
    return head + b"x" * (SIZE - len(head) - 2) + b'"}'


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def place(mysql_url: str, tmp_path: Path) -> Iterator[Place]:
    """With a broker of its own: newer ones take 16 MiB as they come."""
    with private_rabbitmq(["max_message_size = 134217728"]) as server:
        yield Place(server.url, mysql_url, "giants", tmp_path)


@pytest.mark.alone
async def test_messages_of_100_mb_are_refused_and_disturb_nobody(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    handlers = {"default": place.job("done"), "long": place.job("until", gate)}
    # a heartbeat of a second: the broker drops who keeps silent for longer than three
    sidecar = start(place.config(handlers, broker={"heartbeat": 1}, worker={"concurrency": AT_ONCE}), anew=True)
    await place.publish(*({"task_id": f"before{number}"} for number in range(10)))
    await eventually(lambda: place.all_ended(10))
    await place.publish({"task_id": "long", "task_type": "long"})
    await eventually(lambda: place.journal.words("start").count("long") == 1)
    before = sidecar.resident_bytes()

    sent = [giant(number) for number in range(SENT)]
    for number, body in enumerate(sent):
        await place.publish_bodies(body)
        await place.publish({"task_id": f"beside{number}"})
    await eventually(lambda: place.all_ended(10 + SENT), timeout=100)
    await eventually(lambda: sidecar.text.count("message refused") == SENT, timeout=100)
    # the allocator keeps what was freed last until it is asked again
    await place.publish(*({"task_id": f"after{number}"} for number in range(100)))
    await eventually(lambda: place.all_ended(110 + SENT))
    await eventually(lambda: sidecar.resident_bytes() - before < 32 * MEBIBYTE, timeout=30)
    after = sidecar.resident_bytes()
    gate.touch()
    await eventually(lambda: place.status("long") == "success")
    peak = peak_bytes(sidecar) - before
    print(
        f"{SENT} messages of {SIZE:,} bytes, {AT_ONCE} at once: peak memory + {peak / MEBIBYTE:.0f} MiB, "
        f"afterwards + {(after - before) / MEBIBYTE:.1f} MiB"
    )
    assert peak < (2 * AT_ONCE + 1) * SIZE, "each message in hand is held about once, and once more while it is sent"
    assert "part=broker" not in sidecar.text, "the connection was lost"
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0
    assert place.journal.words("start").count("long") == 1
    assert "giant0" not in place.rows()
    letters = place.dead_letters()
    assert {digest(body) for body, _ in letters} == {digest(body) for body in sent}, "a body was lost or changed"
    assert all(headers["x-gridsidecar-reason"].startswith("too-large") for _, headers in letters)
