"""Messages that are small to send and large to hold: under a container's memory limit the worker lives, each of them
ends, and the tasks behind them run."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.faults.test_abuse_output import MEBIBYTE, peak_bytes
from tests.support.cgroup import memory_limit, oom_kills
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

LIMIT = 256 * MEBIBYTE
BODY = 16 * MEBIBYTE - 256  # bytes: within max_message_bytes
LESS = 4 * MEBIBYTE
MIDDLING = 65_000  # bytes
CROWD = 600
AT_ONCE = 4
BOMBS = 8
ARRAYS = 5
GOOD = 20


def message(task_id: str, data: bytes, field: bytes = b"data") -> bytes:
    return b'{"task_id":"%s","%s":%s}' % (task_id.encode(), field, data)


def repeated(one: bytes, size: int = BODY) -> bytes:
    """A list of as many as fit."""
    return b"[" + b",".join([one] * (size // (len(one) + 1))) + b"]"


NUMBERS = repeated(b"1.5")
VALUES: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: NUMBERS,
    "digits": lambda: repeated(b"1", LESS),
    "short texts": lambda: repeated(b'"a"', LESS),
    "lists": lambda: repeated(b"[]", 3 * 490_000),
    "too many lists": lambda: repeated(b"[]", LESS),
    "lists in lists": lambda: repeated(b"[" * 80 + b"]" * 80, 161 * 6_000),
    "objects": lambda: repeated(b'{"a":1,"b":[2]}', 16 * 240_000),
    "keys": lambda: b"{" + b",".join(b'"%d":1' % number for number in range(990_000)) + b"}",
    "too many keys": lambda: b"{" + b",".join(b'"%d":1' % number for number in range(1_300_000)) + b"}",
    "a long text": lambda: b'"' + b"x" * LESS + b'"',
    "one wide character": lambda: b'"' + b"x" * (BODY - 4) + "\U0001f600".encode() + b'"',
    "wide characters": lambda: b'"' + "\U0001f600".encode() * (BODY // 4) + b'"',
    "escapes": lambda: b'"' + b"\\n" * (LESS // 2) + b'"',
    "no JSON at the end": lambda: repeated(b"1.5", LESS)[:-1] + b",NaN]",
}


@pytest.fixture
def group() -> Iterator[Path | None]:
    with memory_limit(LIMIT) as group:
        yield group


@pytest.fixture
def on_file(amqp_url: str, queue: str, sqlite_url: str, tmp_path: Path) -> Place:
    """A store that takes rows of any size."""
    return Place(amqp_url, sqlite_url, queue, tmp_path)


def small_worker(place: Place, start: Start, group: Path | None, *command: str, **worker: Any) -> Sidecar:
    """In as little memory as a container of 256 MiB has."""
    handlers = {"default": place.handler(*(command or ("sh", "-c", "cat > /dev/null")))}
    if group is None:  # the limit is then kept by the test
        worker["memory_budget_mb"] = worker.get("memory_budget_mb", 96)
    return start(place.config(handlers, worker={"concurrency": AT_ONCE} | worker), within=group)


async def all_over(place: Place, sidecar: Sidecar, count: int) -> None:
    """So many messages have succeeded, or are dead letters."""

    def over() -> bool:
        refused = sidecar.text.count("message refused")  # some of them have a row, too
        return sidecar.exit_code is not None or place.statuses().get("success", 0) + refused >= count

    await eventually(over, timeout=200)
    assert sidecar.exit_code is None, f"the worker died: {sidecar.exit_code}"


def check_memory(sidecar: Sidecar, group: Path | None, name: str) -> None:
    print(f"{name}: peak of the worker {peak_bytes(sidecar) / MEBIBYTE:.0f} MiB")
    assert peak_bytes(sidecar) < LIMIT
    assert group is None or oom_kills(group) == 0


@pytest.mark.alone
@pytest.mark.parametrize("store", ["on_file", "place"])
async def test_bombs_of_numbers(store: str, request: pytest.FixtureRequest, group: Path | None, start: Start) -> None:
    place: Place = request.getfixturevalue(store)
    bombs = [gzip.compress(message(f"bomb{number}", NUMBERS), 1) for number in range(BOMBS)]
    await place.publish_bodies(*bombs, content_encoding="gzip")
    await place.publish(*({"task_id": f"good{number}"} for number in range(GOOD)))
    sidecar = small_worker(place, start, group)
    await all_over(place, sidecar, BOMBS + GOOD)
    check_memory(sidecar, group, "bombs")
    assert all(place.status(f"good{number}") == "success" for number in range(GOOD))
    ran = [number for number in range(BOMBS) if place.status(f"bomb{number}") == "success"]
    letters = place.dead_letters()
    assert len(ran) + len(letters) == BOMBS
    assert all(headers["x-gridsidecar-reason"].startswith("not-storable") for _, headers in letters), "and says why"
    if store == "on_file":
        assert len(ran) == BOMBS, "16 MiB of numbers are an ordinary task"
    assert {row["attempt"] for row in place.rows().values()} == {1}


@pytest.mark.alone
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("worker", [{"concurrency": 64}, {"prefetch": 500}], ids=["many at once", "many held"])
async def test_a_crowd_of_middling_messages(
    place: Place, group: Path | None, start: Start, worker: dict[str, int], packed: bool
) -> None:
    """None of them is large; as values, each took thirty times its size."""
    bodies = [message(f"t{number}", repeated(b"[]", MIDDLING)) for number in range(CROWD)]
    properties = {"content_encoding": "gzip"} if packed else {}
    await place.publish_bodies(*(gzip.compress(body, 1) if packed else body for body in bodies), **properties)
    sidecar = small_worker(place, start, group, **worker)
    await all_over(place, sidecar, CROWD)
    check_memory(sidecar, group, "middling messages")
    assert place.statuses() == {"success": CROWD}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("field", "packed", "names"),
    [
        ("data", False, list(VALUES)),
        ("callback_data", True, ["numbers", "wide characters", "objects", "too many keys"]),
        ("mine", True, ["numbers", "wide characters", "lists in lists", "no JSON at the end"]),
    ],
    ids=["data", "callback_data", "a field of the producer's own"],
)
async def test_large_values_of_every_kind(
    on_file: Place, group: Path | None, start: Start, field: str, packed: bool, names: list[str]
) -> None:
    place = on_file
    properties = {"content_encoding": "gzip"} if packed else {}
    for name in names:
        body = message(name, VALUES[name](), field.encode())
        await place.publish_bodies(gzip.compress(body, 1) if packed else body, **properties)
    await place.publish(*({"task_id": f"good{number}"} for number in range(GOOD)))
    sidecar = small_worker(place, start, group)
    await all_over(place, sidecar, len(names) + GOOD)
    check_memory(sidecar, group, field)
    ended = place.fetch("select id, status from grid_async_task_tasks")
    succeeded = {row["id"] for row in ended if row["status"] == "success"}
    assert {f"good{number}" for number in range(GOOD)} <= succeeded
    assert "numbers" in succeeded
    reasons = [headers["x-gridsidecar-reason"] for _, headers in place.dead_letters()]
    assert len(reasons) == len(names) + GOOD - len(succeeded)
    assert {reason.partition(":")[0] for reason in reasons} <= {"too-large", "bad-number", "no-memory"}


@pytest.mark.alone
async def test_more_large_messages_than_memory(on_file: Place, group: Path | None, start: Start) -> None:
    """What cannot be held now stays with the broker, and the good tasks beside it run."""
    place = on_file
    await place.publish_bodies(*(message(f"array{number}", NUMBERS) for number in range(ARRAYS)))
    await place.publish(*({"task_id": f"good{number}"} for number in range(GOOD)))
    sidecar = small_worker(place, start, group, concurrency=ARRAYS)
    await all_over(place, sidecar, ARRAYS + GOOD)
    check_memory(sidecar, group, "more than memory")
    assert place.statuses() == {"success": ARRAYS + GOOD}
    assert sidecar.says("no memory for another large message now")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


@pytest.mark.alone
async def test_an_array_of_16_mib_reaches_the_handler_as_it_was(
    on_file: Place, group: Path | None, start: Start
) -> None:
    place, copy = on_file, on_file.folder / "copy"
    sidecar = small_worker(place, start, group, "sh", "-c", f"cat > {copy}")
    body = message("array", NUMBERS)
    await place.publish_bodies(body)
    await all_over(place, sidecar, 1)
    check_memory(sidecar, group, "an array")
    assert place.status("array") == "success"
    got = json.loads(copy.read_bytes())
    assert got["task_id"] == "array"
    assert got["data"] == json.loads(NUMBERS)
    stored = place.row("array")
    assert hashlib.sha256(stored["data"].encode()).digest() == hashlib.sha256(NUMBERS).digest()


@pytest.mark.alone
async def test_what_does_not_fit_the_budget_is_a_dead_letter_that_says_so(
    on_file: Place, group: Path | None, start: Start
) -> None:
    place = on_file
    sidecar = small_worker(place, start, group, memory_budget_mb=20)
    await place.publish_bodies(message("plain", NUMBERS), gzip.compress(message("other", NUMBERS)))
    await place.publish_bodies(gzip.compress(message("packed", NUMBERS), 1), content_encoding="gzip")
    await place.publish_bodies(message("less", repeated(b"1.5", 3 * MEBIBYTE)), *[message("good", b"1")])
    await all_over(place, sidecar, 5)
    reasons = [headers["x-gridsidecar-reason"] for _, headers in place.dead_letters()]
    assert sum("worker.memory_budget_mb" in reason for reason in reasons) == 2
    assert place.status("less") == place.status("good") == "success"
    assert place.row("plain")["error_type"] == "ValidationError"
