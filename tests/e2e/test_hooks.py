"""Hooks in a running sidecar: told what they shall be told, limited in time, and never at a task's expense."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.handler.running import dead
from tests.support.place import Place
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024
DEAF = "trap '' TERM; while :; do sleep 0.02; done"
HANG = "exec sleep 1000"
UNTIL = 'until [ -e "$1/gate" ]; do sleep 0.02; done; echo done >> "$1/gone-through"'


def hook(place: Place, script: str = ":") -> list[str]:
    """Notes its line, its environment and its process id in the folder, then does what `script` says."""
    noted = (
        'line=$(cat); env > "$1/env.$GRIDSIDECAR_HOOK"; echo $$ >> "$1/pids"; echo "$line" >> "$1/$GRIDSIDECAR_HOOK"; '
    )
    escaped = (noted + script).replace("$$", "$$$$")  # as the configuration wants it
    return ["/bin/sh", "-c", escaped, "hook", str(place.folder)]


def told(place: Place, name: str) -> list[dict[str, Any]]:
    file = place.folder / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def nothing_left(place: Place) -> bool:
    return all(dead(int(pid)) for pid in (place.folder / "pids").read_text().split())


# -- what they are told -----------------------------------------------------------------------------------------------


async def test_each_hook_hears_what_happens(any_place: Place, start: Start) -> None:
    place = any_place
    script = 'cat >> "$0"; [ "$GRIDSIDECAR_TASK_TYPE$GRIDSIDECAR_ATTEMPT" = default2 ] || { echo no >&2; exit 3; }'
    names = ("on_startup", "on_task_start", "on_task_end", "on_shutdown")
    config = place.config(
        {"default": {"command": ["sh", "-c", script, str(place.folder / "handler")], "timeout": 50}},
        hooks={name: hook(place) for name in names},
        retry={"delay": 0.1},
        worker={"name": "w1"},
    )
    sidecar = start(config)
    await place.publish({"task_id": "t", "max_retry_count": 1, "data": [1], "extra": "ä"})
    await eventually(lambda: place.status("t") == "success")
    await place.publish({"task_id": "u", "task_type": "bad", "max_retry_count": 0})
    await eventually(lambda: place.status("u") == "failed")
    sidecar.terminate()
    assert await sidecar.ended() == 0

    about_worker = {"gs": 1, "worker": "w1", "queue": place.queue}
    assert told(place, "on_startup") == [{"type": "startup", **about_worker}]
    assert told(place, "on_shutdown") == [{"type": "shutdown", **about_worker}]

    handled = told(place, "handler")
    for line in handled:
        assert line["run"]["deadline_ms"] > 0
        line["run"]["deadline_ms"] = None  # the attempt's time begins after the hook
    assert told(place, "on_task_start") == handled
    assert [(line["task_id"], line["run"]["attempt"]) for line in handled] == [("t", 1), ("t", 2), ("u", 1)]

    first, second, third = told(place, "on_task_end")
    assert first.pop("end").pop("duration_s") > 0
    assert first == {**handled[0], "run": {"attempt": 1, "idempotency_key": "t"}}
    assert second["end"].pop("duration_s") > 0
    nothing = dict.fromkeys(("result", "error", "error_type", "last_error_type", "retry_in_s"))
    assert second["end"] == {**nothing, "status": "success", "exit_code": 0}
    assert third["end"].pop("duration_s") > 0
    failure = {"status": "failed", "error": "no", "error_type": "HandlerExit", "exit_code": 3}
    assert third["end"] == {**nothing, **failure}


async def test_a_retry_and_the_last_failure_are_told(any_place: Place, start: Start) -> None:
    place = any_place
    retry = {"max_retries": 1, "delay": 0.1}
    start(place.config({"default": place.job("exit", 1)}, retry=retry, hooks={"on_task_end": hook(place)}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: len(told(place, "on_task_end")) == 2)
    ends = [line["end"] for line in told(place, "on_task_end")]
    assert [(end["status"], end["error_type"], end["last_error_type"]) for end in ends] == [
        ("retrying", "HandlerExit", None),
        ("failed", "RetryExhausted", "HandlerExit"),
    ]
    assert [end["retry_in_s"] for end in ends] == [0.1, None]


async def test_a_task_that_ends_without_an_attempt_is_told_too(place: Place, start: Start) -> None:
    start(place.config({"known": place.job("done")}, hooks={"on_task_end": hook(place)}))
    await place.publish(
        {"task_id": "t", "task_type": "unknown", "data": 1}, {"task_id": "u", "data": 1, "timeout": "no"}
    )
    await eventually(lambda: len(told(place, "on_task_end")) == 2)
    lines = {line["task_id"]: line for line in told(place, "on_task_end")}
    assert (lines["t"]["task_type"], lines["t"]["data"], lines["u"]["data"]) == ("unknown", 1, None)
    for line in lines.values():
        assert (line["end"]["status"], line["end"]["error_type"]) == ("failed", "ValidationError")
        assert (line["end"]["duration_s"], line["end"]["exit_code"], line["run"]["attempt"]) == (None, None, 0)


async def test_their_environment_is_that_of_a_handler(place: Place, start: Start) -> None:
    hooks = {"on_startup": hook(place), "on_task_start": hook(place), "on_task_end": hook(place)}
    start(place.config({"default": place.job("done")}, hooks=hooks))
    await place.publish({"task_id": "t", "task_type": "resize", "max_retry_count": 2})
    await eventually(lambda: told(place, "on_task_end"))
    for name in hooks:
        lines = (place.folder / f"env.{name}").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        assert (seen["GRIDSIDECAR"], seen["GRIDSIDECAR_HOOK"]) == ("1", name)
        assert "PYTHONPATH" not in seen  # the sidecar has it
        about = tuple(
            seen.get(f"GRIDSIDECAR_{word}") for word in ("TASK_ID", "TASK_TYPE", "ATTEMPT", "MAX_RETRY_COUNT")
        )
        assert about == ((None,) * 4 if name == "on_startup" else ("t", "resize", "1", "2"))


async def test_on_task_end_comes_when_all_is_stored_and_settled(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    script = (
        "import json, os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        'sql = "select status, (select count(*) from gridsidecar_messages) from grid_async_task_tasks where id = ?"\n'
        "row = database.execute(sql, (os.environ['GRIDSIDECAR_TASK_ID'],)).fetchone()\n"
        "open(sys.argv[2], 'a').write(json.dumps(row) + '\\n')\n"
    )
    file, seen = place.store_url.removeprefix("sqlite:///"), place.folder / "seen"
    hooks = {"on_task_end": [sys.executable, "-I", "-c", script, file, str(seen)]}
    start(place.config({"default": place.job("done")}, hooks=hooks))
    for count in range(1, 6):
        await place.publish({"task_id": f"t{count}"})
        await eventually(lambda count=count: seen.exists() and len(seen.read_text().splitlines()) == count)  # type: ignore[misc]
    assert seen.read_text().splitlines() == ['["success", 0]'] * 5


async def test_a_slow_on_task_end_holds_up_nothing(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("done")}, hooks={"on_task_end": hook(place, UNTIL)}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(5)))
    await eventually(lambda: place.all_ended(5) and place.left() == 0)
    await eventually(lambda: len(told(place, "on_task_end")) == 1)  # one at a time, as worker.concurrency says
    (place.folder / "gate").touch()
    await eventually(lambda: len(told(place, "on_task_end")) == 5)
    sidecar.terminate()
    assert await sidecar.ended() == 0


# -- on_startup decides -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo warming up; echo no licence >&2; exit 9", 1, "exit code 9: no licence"),
        ("echo stuck >&2; " + DEAF, 1, "not done within 0.5 s, and ended: stuck"),
        ("kill -KILL $$", 1, "ended by signal 9"),
    ],
)
async def test_a_startup_that_fails_stops_the_start(
    any_place: Place, start: Start, script: str, code: int, words: str
) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    hooks = {"on_startup": hook(place, script), "on_shutdown": hook(place), "timeout": 0.5}
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks))
    assert await sidecar.ended() == code
    reason = f"the hook on_startup failed, nothing was started: {words}"
    assert sidecar.text.splitlines()[-1].endswith(f'ERROR   cannot go on  reason="{reason}"')
    assert (place.left(), place.rows(), place.journal.started) == (1, {}, [])
    assert not told(place, "on_shutdown")
    assert nothing_left(place)


async def test_a_startup_whose_command_is_missing(place: Place, start: Start) -> None:
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done")}, hooks={"on_startup": ["/no/such/hook"]}))
    assert await sidecar.ended() == 78
    reason = "hook on_startup: /no/such/hook does not exist; create it or correct `hooks.on_startup`"
    assert sidecar.text.splitlines()[-1].endswith(f'ERROR   cannot go on  reason="{reason}"')
    assert (place.left(), place.rows()) == (1, {})


async def test_the_first_task_waits_for_the_startup(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    start(place.config({"default": place.job("done")}, hooks={"on_startup": hook(place, UNTIL)}))
    await eventually(lambda: told(place, "on_startup"))
    with pytest.raises(AssertionError):
        await eventually(lambda: place.rows(), timeout=0.5)
    (place.folder / "gate").touch()
    await eventually(lambda: place.status("t") == "success")


# -- a hook's faults cost no task -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo broken >&2; exit 3", "exit code 3: broken"), (DEAF, "not done within 0.5 s, and ended")],
)
async def test_task_hooks_that_fail_are_a_warning(any_place: Place, start: Start, script: str, words: str) -> None:
    place = any_place
    failing = hook(place, script)
    hooks = {"on_task_start": failing, "on_task_end": failing, "on_shutdown": failing, "timeout": 0.5}
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done", timeout=0.4)}, hooks=hooks), "--burst")
    assert await sidecar.ended() == 0
    assert (place.status("t"), place.left()) == ("success", 0)
    for name in ("on_task_start", "on_task_end", "on_shutdown"):
        pattern = rf'WARNING a hook failed  hook={name} .*reason="{words}"'
        assert len(re.findall(pattern, sidecar.text)) == 1, name
    assert nothing_left(place)


async def test_task_hooks_whose_command_is_missing(place: Place, start: Start) -> None:
    hooks = {name: ["/no/such/hook"] for name in ("on_task_start", "on_task_end", "on_shutdown")}
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks), "--burst")
    assert await sidecar.ended() == 0
    assert place.status("t") == "success"
    for name in hooks:
        assert sidecar.says(f"hook {name}: /no/such/hook does not exist; create it or correct `hooks.{name}`")


async def test_a_hook_may_write_as_much_as_it_likes(place: Place, start: Start) -> None:
    config = place.config({"default": place.job("done")}, hooks={"on_task_start": hook(place)})
    sidecar = start(config, anew=True)
    await place.publish({"task_id": "t0"})
    await eventually(lambda: place.status("t0") == "success")
    before = sidecar.resident_bytes()
    sidecar.terminate()
    assert await sidecar.ended() == 0
    flood = "head -c 104857600 /dev/zero; head -c 104857600 /dev/zero >&2"
    floods = {"on_task_start": hook(place, flood), "on_task_end": hook(place, flood)}
    sidecar = start({**config, "hooks": floods}, anew=True)
    await place.publish({"task_id": "t1"})
    await eventually(lambda: place.status("t1") == "success")
    await eventually(lambda: len(told(place, "on_task_end")) == 1 and nothing_left(place))
    assert sidecar.resident_bytes() - before < 16 * MEBIBYTE
    assert not sidecar.says("a hook failed")


async def test_what_a_hook_leaves_running_is_ended(any_place: Place, start: Start) -> None:
    place = any_place
    leaving = hook(place, 'sleep 1000 <&- >&- 2>&- & echo $! >> "$1/pids"; setsid sleep 1000 & echo $! >> "$1/pids"')
    names = ("on_startup", "on_task_start", "on_task_end", "on_shutdown")
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done")}, hooks=dict.fromkeys(names, leaving)), "--burst")
    assert await sidecar.ended() == 0
    assert place.status("t") == "success"
    assert len((place.folder / "pids").read_text().split()) == 12
    await eventually(lambda: nothing_left(place))


@pytest.mark.timeout(180)
async def test_a_flood_with_a_slow_on_task_end_loses_no_task(any_place: Place, start: Start) -> None:
    place, count = any_place, 500
    await place.publish(*({"task_id": f"t{index}"} for index in range(count)))
    hooks = {"on_task_end": hook(place, "sleep 1"), "timeout": 2}
    config = place.config({"default": {"command": ["true"]}}, hooks=hooks, worker={"concurrency": 4})
    sidecar = start(config, "--burst", "--burst-check-interval", "0.1")
    await sidecar.said("leaving", timeout=100)
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": count}
    assert place.left() == 0
    assert len(re.findall("WARNING on_task_end is slower than the tasks", sidecar.text)) == 1
    (left_out,) = re.findall(r"WARNING ends of tasks had no on_task_end  left_out=(\d+)", sidecar.text)
    heard = len(told(place, "on_task_end"))
    assert count - heard <= int(left_out) <= count - heard + 4  # those that ran were noted, and cut short
    assert nothing_left(place)


# -- told to leave ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [HANG, DEAF])
async def test_a_signal_during_on_startup(any_place: Place, start: Start, script: str) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    hooks = {"on_startup": hook(place, script), "on_shutdown": hook(place)}
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks))
    await eventually(lambda: told(place, "on_startup"))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert (place.left(), place.rows()) == (1, {})
    assert not told(place, "on_shutdown")
    assert nothing_left(place)


async def test_a_signal_during_on_task_start_gives_the_task_back(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    hooks = {"on_task_start": hook(place, DEAF), "on_task_end": hook(place)}
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks, worker={"shutdown_grace": 0.2}))
    await eventually(lambda: told(place, "on_task_start"))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    row = place.row("t")
    assert (row["status"], row["interruptions"], row["retry_count"], place.left()) == ("pending", 1, 0, 1)
    assert place.journal.started == []
    assert [line["end"]["status"] for line in told(place, "on_task_end")] == ["pending"]
    assert not sidecar.says("a hook failed")
    assert nothing_left(place)


async def test_a_signal_lets_on_task_start_and_its_task_have_the_grace(place: Place, start: Start) -> None:
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done")}, hooks={"on_task_start": hook(place, UNTIL)}))
    await eventually(lambda: told(place, "on_task_start"))
    sidecar.terminate()
    await sidecar.said("leaving")
    (place.folder / "gate").touch()
    assert await sidecar.ended() == 0
    assert place.status("t") == "success"


async def test_a_cancel_ends_on_task_start(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    hooks = {"on_task_start": hook(place, DEAF)}
    start(place.config({"default": place.job("done")}, hooks=hooks, worker={"lease": 1}))
    await eventually(lambda: told(place, "on_task_start"))
    await place.cancel("t")
    await eventually(lambda: place.status("t") == "cancelled")
    assert place.journal.started == []
    assert nothing_left(place)


async def test_leaving_waits_for_on_task_end(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    hooks = {"on_task_end": hook(place, UNTIL), "on_shutdown": hook(place)}
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks))
    await eventually(lambda: told(place, "on_task_end"))
    sidecar.terminate()
    await sidecar.said("waiting for on_task_end")
    assert not told(place, "on_shutdown")  # its turn comes last
    (place.folder / "gate").touch()
    assert await sidecar.ended() == 0
    assert (place.folder / "gone-through").exists()
    assert told(place, "on_shutdown")


@pytest.mark.parametrize("name", ["on_task_end", "on_shutdown"])
async def test_a_second_signal_ends_the_last_hooks(any_place: Place, start: Start, name: str) -> None:
    place = any_place
    await place.publish({"task_id": "t"})
    sidecar = start(place.config({"default": place.job("done")}, hooks={name: hook(place, DEAF)}))
    await eventually(lambda: place.status("t") == "success")
    sidecar.terminate()
    await sidecar.said("waiting for on_task_end" if name == "on_task_end" else "running a hook")
    await eventually(lambda: told(place, name))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert nothing_left(place)


@pytest.mark.parametrize("name", ["on_task_end", "on_shutdown"])
async def test_leaving_waits_no_longer_than_a_hook_may_take(place: Place, start: Start, name: str) -> None:
    await place.publish({"task_id": "t"})
    hooks = {name: hook(place, DEAF), "timeout": 1}
    sidecar = start(place.config({"default": place.job("done")}, hooks=hooks))
    await eventually(lambda: place.status("t") == "success")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert nothing_left(place)
