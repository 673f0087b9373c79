"""`gridsidecar dead`: messages that a sidecar refused, looked at, replayed and dropped."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.cli import Finished, gridsidecar, on_terminal, start
from tests.support.place import Place
from tests.support.waiting import eventually

HOSTILE = rb'{"task_id": "hostile", "timeout": "\u001b]0;owned\u0007"}'
BAD: dict[str, bytes] = {
    "wrong": b'{"task_id": "wrong", "timeout": "soon"}',
    "stranger": b'{"task_id": "stranger", "task_type": "later", "data": {"n": 1}}',
    "large": b'{"task_id": "large", "data": "' + b"x" * 2000 + b'"}',
}


@pytest.fixture
def place(any_place: Place) -> Place:
    """Knows one type of tasks, and messages of 1 KiB."""
    configure(any_place, ["known"], max_message_bytes=1024)
    return any_place


def configure(place: Place, types: list[str], **broker: Any) -> None:
    config = place.config({name: place.job("done") for name in types}, broker=broker)
    (place.folder / "config.yaml").write_text(json.dumps(config))


def run(place: Place, *arguments: str) -> Finished:
    return gridsidecar(place.folder, *arguments)


def dead(place: Place, *arguments: str) -> Finished:
    return run(place, "dead", *arguments)


def work(place: Place) -> None:
    done = run(place, "run", "--burst", "--burst-check-interval", "0.1")
    assert done.returncode == 0, done.stderr


def listed(place: Place, *flags: str) -> list[dict[str, Any]]:
    done = dead(place, "list", "--json", *flags)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def refused(place: Place) -> None:
    for body in BAD.values():
        await place.publish_bodies(body, correlation_id="c1", headers={"tenant": "blue"})
    work(place)
    assert len(listed(place)) == len(BAD)


async def test_refused_messages_are_listed_and_shown(place: Place) -> None:
    await refused(place)
    found = listed(place)
    assert [letter["task_id"] for letter in found] == ["wrong", "stranger", None]
    assert [letter["reason"].split(":")[0] for letter in found] == ["bad-field", "unknown-task-type", "too-large"]
    assert all(letter["queue"] == place.queue and letter["message_id"] for letter in found)
    assert all(letter["time"].endswith("Z") for letter in found)
    assert [letter["bytes"] for letter in found] == [len(body) for body in BAD.values()]

    done = dead(place, "list", "-n", "2")
    assert done.stdout.splitlines()[0].split() == ["id", "time", "bytes", "status", "reason"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["wrong", "stranger"]
    assert "--limit" in done.stderr
    code, shown = on_terminal(place.folder, "dead", "list")
    assert (code, "stranger" in shown) == (0, True)

    done = dead(place, "show", "stranger", "--json")
    letter = json.loads(done.stdout)
    assert letter["body"].encode() == BAD["stranger"]
    assert (letter["properties"]["correlation_id"], letter["properties"]["headers"]) == ("c1", {"tenant": "blue"})
    done = dead(place, "show", found[2]["message_id"])
    assert "too-large" in done.stdout
    assert done.stdout.rstrip().endswith("(2,032 bytes; see --json)")


async def test_what_the_configuration_takes_now_runs_after_a_replay(place: Place) -> None:
    await refused(place)
    assert place.status("stranger") == "failed"
    configure(place, ["known", "later", "default"])
    done = dead(place, "replay", "stranger", "large")
    assert (done.returncode, done.stdout) == (0, "stranger\nlarge\n")
    assert "2 replayed" in done.stderr
    assert place.status("stranger") == "pending"
    work(place)
    assert (place.status("stranger"), place.status("large")) == ("success", "success")
    assert sorted(place.journal.started) == ["large", "stranger"]
    assert place.row("stranger")["error_message"] is None
    assert [letter["task_id"] for letter in listed(place)] == ["wrong"]


async def test_a_replay_is_a_retry_of_its_task_and_refused_once_that_runs_again(place: Place) -> None:
    """Two letters of one task: the second would start it while it waits for the first."""
    body = BAD["stranger"]
    await place.publish_bodies(body, body)
    work(place)
    assert len(listed(place)) == 2
    configure(place, ["known", "later"])
    done = dead(place, "replay", "--all")
    assert (done.returncode, done.stderr) == (0, "1 replayed, 1 more of the same tasks stay\n")
    work(place)
    assert (place.status("stranger"), place.journal.started) == ("success", ["stranger"])
    configure(place, ["known"])
    await place.publish_bodies(body)
    work(place)
    again = dead(place, "replay", "--all")
    assert again.returncode == 1
    assert again.stderr.count("its task has not failed, it is success") == 2
    assert dead(place, "drop", "--succeeded", "--yes").stderr == "2 dropped\n"
    assert listed(place) == []


async def test_a_replay_in_vain_leaves_the_letter_and_says_why(place: Place) -> None:
    await refused(place)
    await place.publish({"task_id": "ended", "task_type": "known"})
    await place.publish({"task_id": "ended", "task_type": "unknown"})
    work(place)
    assert len(listed(place)) == 4
    done = dead(place, "replay", "--all")
    assert (done.returncode, done.stdout) == (1, "stranger\n")
    said = done.stderr.splitlines()
    assert said[0].startswith("wrong: it would be refused again: bad-field")
    assert said[1].startswith("stranger: this configuration has no handler for its type later")
    assert "would be refused again: too-large" in said[2]
    assert (
        said[3]
        == "ended: its task has not failed, it is success, and drops a message more; `gridsidecar dead drop` removes it"
    )
    assert said[4] == "1 replayed, 3 left where they are"
    assert (place.row("ended")["attempt"], place.status("wrong")) == (1, "failed")
    assert len(listed(place)) == 3
    work(place)  # still nobody for `stranger`: refused again, and failed again
    assert [letter["task_id"] for letter in listed(place)] == ["wrong", None, "ended", "stranger"]
    assert place.status("stranger") == "failed"


async def test_a_replay_that_dies_half_way_loses_and_doubles_nothing(place: Place) -> None:
    ids = {f"t{number}" for number in range(60)}
    await place.publish(*({"task_id": id_, "task_type": "later"} for id_ in sorted(ids)))
    work(place)
    configure(place, ["later"])
    dying = start(place.folder, "dead", "replay", "--all")
    assert dying.stdout is not None
    assert dying.stdout.readline().strip() in ids
    dying.kill()
    dying.communicate()
    await eventually(lambda: _whole(place, ids))
    done = dead(place, "replay", "--all")
    assert done.returncode == 0
    work(place)
    assert place.statuses() == {"success": len(ids)}
    assert sorted(place.journal.started) == sorted(ids)
    assert listed(place) == []


def _whole(place: Place, ids: set[str]) -> bool:
    """Whether every message is in its queue again: RabbitMQ sees only after a moment that a program is gone."""
    return place.waiting() + len(listed(place, "-n", "100")) >= len(ids)


async def test_an_unknown_id_is_told(place: Place) -> None:
    await refused(place)
    for command in (["show", "nobody"], ["replay", "nobody"], ["drop", "nobody"]):
        done = dead(place, *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"no dead letter nobody in {place.queue}.dead" in done.stderr
        assert len(listed(place)) == 3


@pytest.mark.parametrize(
    "arguments", [["replay"], ["drop"], ["drop", "--all", "a"], ["drop", "--all"], ["list", "-n", "0"]]
)
def test_usage_errors(place: Place, arguments: list[str]) -> None:
    done = dead(place, *arguments)
    assert (done.returncode, done.stdout) == (64, "")


async def test_dropped_letters_are_gone(place: Place) -> None:
    await refused(place)
    done = dead(place, "drop", "stranger")
    assert (done.returncode, done.stdout, done.stderr) == (0, "stranger\n", "1 dropped\n")
    assert len(listed(place)) == 2
    code, _ = on_terminal(place.folder, "dead", "drop", "--all", answers={"for good?": "n"})
    assert code == 1
    assert len(listed(place)) == 2
    code, _ = on_terminal(place.folder, "dead", "drop", "--all", answers={"for good?": "y"})
    assert code == 0
    assert len(listed(place)) == 0
    assert dead(place, "drop", "--all", "--yes").stderr == "0 dropped\n"
    assert place.status("stranger") == "failed"


async def test_letters_of_another_queue_are_left_alone(place: Place) -> None:
    """Several queues may share their dead letters."""
    await refused(place)
    flags = ["-q", f"{place.queue}.other"]
    configure(place, ["default"], dead_letter_queue=f"{place.queue}.dead")
    assert len(listed(place, *flags)) == 3
    assert len(listed(place)) == 3
    assert dead(place, "drop", "--all", "--yes", *flags).stderr == "0 dropped\n"
    assert len(listed(place)) == 3
    try:
        done = dead(place, "replay", "stranger", *flags)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"refused on queue {place.queue}" in done.stderr
        assert len(listed(place)) == 3
    finally:
        if not place.embedded:
            with place.channel() as channel:
                channel.queue_delete(f"{place.queue}.other")


async def test_texts_from_strangers_steer_no_terminal(place: Place) -> None:
    await place.publish_bodies(HOSTILE, headers={"k": "\x1b[31m"})
    await place.publish_bodies(b"\xff\x1b[2J", message_id="m\x1b[1m")
    await place.publish_bodies(gzip.compress(b'{"task_id": "zipped", "timeout": "\\u001b"}'), content_encoding="gzip")
    work(place)
    found = listed(place)
    ids = ["hostile", found[1]["message_id"], "zipped"]
    for arguments in (["list"], *(["show", id_] for id_ in ids)):
        done = dead(place, *arguments)
        assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\x9b"}, arguments
    done = dead(place, "show", "zipped", "--json")
    assert json.loads(json.loads(done.stdout)["body"])["task_id"] == "zipped"
    done = dead(place, "show", ids[1])
    assert r"\xff" in done.stdout


async def test_no_letters_at_all(place: Place) -> None:
    done = dead(place, "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"no dead letters in {place.queue}.dead" in done.stderr
    assert not (place.folder / "gridsidecar.db").exists()
