"""A sidecar of several processes does what one does: the same limits, signals, ends and promises."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.handler.running import dead
from tests.support import cli
from tests.support.journal import Run
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually


def several(
    place: Place, handlers: dict[str, Any], worker: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A configuration of two processes that run four tasks."""
    return place.config(handlers, worker={"processes": 2, "concurrency": 4, "name": "w", **(worker or {})}, **more)


async def ready(sidecar: Sidecar) -> list[int]:
    """Its processes, once both take tasks."""
    await sidecar.ready(processes=2)
    return sidecar.processes()


def at_once(runs: list[Run]) -> int:
    """The most of these runs that went on at the same time."""
    steps = [(run.started, 1) for run in runs] + [(run.ended, -1) for run in runs if run.ended is not None]
    now = most = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def workers(place: Place) -> set[str]:
    """The identities that ran something."""
    return {row["worker_id"] for row in place.history()}


# -- the work ---------------------------------------------------------------------------------------------------------


async def test_both_take_part_and_each_task_runs_once(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish(*({"task_id": f"t{number}"} for number in range(200)))
    sidecar = start(several(place, {"default": place.job("done")}, log={"level": "INFO"}))
    await eventually(lambda: place.all_ended(200), timeout=60)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 200}
    assert sorted(place.journal.started) == sorted(f"t{number}" for number in range(200))
    assert place.journal.most_at_once() <= 4
    assert len(workers(place)) == 2
    assert place.left() == 0
    assert sidecar.text.count("running as several processes  processes=2 concurrency=4 worker=w") == 1
    assert sidecar.text.count("statistics ") == 1
    assert re.search(r"statistics  done=200 failed=0 .* running=0 left=0 ", sidecar.text)


async def test_a_type_limited_to_one_never_overlaps_beside_others(any_place: Place, start: Start) -> None:
    place = any_place
    jobs = {"default": place.job("for", 0.02), "one": place.job("for", 0.02, concurrency=1)}
    tasks = [{"task_id": f"{kind}{n}", "task_type": kind} for n in range(64) for kind in ("one", "default")]
    await place.publish(*tasks)
    sidecar = start(several(place, jobs, log={"level": "INFO"}))
    await eventually(lambda: place.all_ended(128), timeout=90)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 128}
    limited = [run for run in place.journal.runs() if run.task_id.startswith("one")]
    assert (len(limited), at_once(limited)) == (64, 1)
    assert 1 < place.journal.most_at_once() <= 4
    of_limited = {row["worker_id"] for row in place.history() if row["task_id"].startswith("one")}
    assert len(of_limited) == 2, "one process had all the slots"


async def test_the_slot_of_a_killed_process_is_not_given_away_before_its_handler_is_dead(
    embedded_place: Place, start: Start
) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("stubborn", gate, concurrency=1)}, {"lease": 2}))
    await ready(sidecar)
    await place.publish({"task_id": "a"}, {"task_id": "b"}, {"task_id": "c"})
    await eventually(lambda: place.journal.started)
    (first,) = place.journal.runs()
    os.kill(parent_of(first.pid), signal.SIGKILL)
    await eventually(lambda: len(place.journal.started) > 1)
    assert dead(first.pid)
    assert len(sidecar.handlers()) == 1
    place.journal.note_killed([first.pid])
    gate.touch()
    await eventually(lambda: place.all_ended(3), timeout=60)
    assert place.statuses() == {"success": 3}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- a process that dies ----------------------------------------------------------------------------------------------


async def test_a_killed_process_is_told_of_and_replaced(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("until", gate)}, {"lease": 2}))
    processes = await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    of_victim = [run.pid for run in place.journal.runs() if parent_of(run.pid) == processes[0]]
    assert len(of_victim) == 2
    os.kill(processes[0], signal.SIGKILL)
    await sidecar.said("a process ended, it is replaced")
    assert sidecar.says(f"worker=w-1 pid={processes[0]} signal=SIGKILL")
    assert all(dead(pid) for pid in of_victim), "a handler outlived its process"
    place.journal.note_killed(of_victim)
    await sidecar.ready(processes=3)
    gate.touch()
    await eventually(lambda: place.all_ended(4))
    assert place.statuses() == {"success": 4}
    assert place.journal.overlaps() == []
    assert sidecar.processes()[1] == processes[1]
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_a_stopped_process_is_killed_and_replaced(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("until", gate)}, {"lease": 2}))
    processes = await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    os.kill(processes[1], signal.SIGSTOP)
    await sidecar.said("a process does not answer, it is killed  worker=w-2")
    await sidecar.ready(processes=3)
    assert dead(processes[1])
    assert sidecar.processes()[0] == processes[0]
    gate.touch()
    await eventually(lambda: place.all_ended(4))
    assert place.statuses() == {"success": 4}
    await eventually(lambda: place.left() == 0)


async def test_when_all_of_it_stood_still_nobody_was_silent(embedded_place: Place, start: Start) -> None:
    sidecar = start(several(embedded_place, {"default": embedded_place.job("done")}, {"lease": 1}))
    processes = await ready(sidecar)
    for pid in (sidecar.pid, *processes):
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(13)
    for pid in (sidecar.pid, *processes):
        os.kill(pid, signal.SIGCONT)
    await embedded_place.publish({"task_id": "t"})
    await eventually(lambda: embedded_place.all_ended(1))
    await asyncio.sleep(1)
    assert sidecar.processes() == processes
    assert not sidecar.says("does not answer")


async def test_one_that_is_told_to_leave_alone_is_replaced(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    sidecar = start(several(place, {"default": place.job("done")}))
    processes = await ready(sidecar)
    os.kill(processes[0], signal.SIGTERM)
    await sidecar.said("a process ended, it is replaced")
    assert sidecar.says("exit_code=0")
    await sidecar.ready(processes=3)


# -- the supervisor dies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [False, True], ids=["all run", "one is stopped"])
async def test_nothing_is_left_when_the_supervisor_is_killed(place: Place, start: Start, stopped: bool) -> None:
    sidecar = start(several(place, {"default": place.job("stubborn", place.folder / "gate", kill_grace=1)}))
    processes = await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    left = processes + [run.pid for run in place.journal.runs()]
    if stopped:
        os.kill(processes[0], signal.SIGSTOP)
    sidecar.kill()
    await eventually(lambda: all(dead(pid) for pid in left))
    assert sidecar.says('leaving  reason="the supervisor is gone"')
    assert place.statuses() == {"pending": 4}
    await eventually(lambda: place.left() == 4)
    assert {row["retry_count"] for row in place.rows().values()} == {0}


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_it_leaves_when_all_have_finished_what_they_hold(
    embedded_place: Place, start: Start, number: signal.Signals
) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("until", gate)}))
    await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(6)))
    await eventually(lambda: len(place.journal.started) == 4)
    sidecar.signal(number)
    await eventually(lambda: sidecar.text.count(f'leaving  reason="{number.name} received"') == 2)
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 4}
    assert place.left() == 2


async def test_a_signal_to_all_processes_is_the_first_for_each(embedded_place: Place, start: Start) -> None:
    """As from a service manager: it must not count twice."""
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("until", gate)}))
    processes = await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    sidecar.terminate()
    await eventually(lambda: sidecar.text.count('leaving  reason="SIGTERM received"') == 2)
    for pid in processes:
        os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(0.5)
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 4}


async def test_a_second_signal_hurries_all(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    sidecar = start(several(place, {"default": place.job("until", place.folder / "gate")}))
    await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    began = time.monotonic()
    sidecar.terminate()
    await eventually(lambda: sidecar.text.count("leaving ") == 2)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert time.monotonic() - began < 20, "shutdown_grace is 30 s"
    assert place.statuses() == {"pending": 4}


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5, 0.8, 1.2])
async def test_told_to_leave_while_it_starts(embedded_place: Place, start: Start, delay: float) -> None:
    sidecar = start(several(embedded_place, {"default": embedded_place.job("done")}), anew=True)
    await eventually(lambda: catches_sigterm(sidecar.pid), interval=0.001)
    await asyncio.sleep(delay)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert sidecar.processes() == []


def catches_sigterm(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


# -- leaving by its own rules -----------------------------------------------------------------------------------------


async def test_a_burst_is_over_when_the_queue_is_empty_and_nobody_is_busy(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    await place.publish(*({"task_id": f"t{number}"} for number in range(20)), {"task_id": "long", "task_type": "long"})
    jobs = {"default": place.job("done"), "long": place.job("until", gate)}
    sidecar = start(several(place, jobs, {"burst": True, "burst_check_interval": 0.1}))
    await eventually(lambda: place.statuses().get("success") == 20)
    await asyncio.sleep(1.0)
    assert sidecar.exit_code is None, "one was still busy"
    assert len(sidecar.processes()) == 2
    assert not sidecar.says("leaving ")
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 21}
    assert not sidecar.says("is replaced")


async def test_work_that_a_task_makes_is_of_the_burst(embedded_place: Place, start: Start) -> None:
    """Whoever sees an empty queue beside a busy sibling is not done."""
    place = embedded_place
    submit = " ".join(["exec", *cli.command("submit"), "-c", str(place.folder / "sidecar0" / "config.yaml")])
    script = f"sleep 1.5; {submit} --type leaf --data 1 >/dev/null"
    grow = place.handler("/bin/sh", "-c", script, pass_env=["PYTHONPATH"])
    await place.publish({"task_id": "root", "task_type": "grow"})
    config = several(place, {"grow": grow, "leaf": place.job("done")}, {"burst": True, "burst_check_interval": 0.05})
    sidecar = start(config)
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 2}


async def test_a_burst_ends_at_its_timeout(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    await place.publish({"task_id": "t"})
    job = place.job("until", place.folder / "gate", kill_grace=1)
    sidecar = start(several(place, {"default": job}, {"burst": True, "burst_timeout": 2, "shutdown_grace": 0}))
    assert await sidecar.ended() == 0
    assert sidecar.says('reason="burst_timeout of 2 s is over"')
    assert place.statuses() == {"pending": 1}


async def test_idle_means_that_all_are_idle(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(several(place, {"default": place.job("until", gate)}, {"idle_timeout": 1}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    await asyncio.sleep(3.0)
    assert len(sidecar.processes()) == 2
    assert not sidecar.says("leaving ")
    gate.touch()
    assert await sidecar.ended() == 0
    assert sidecar.text.count('leaving  reason="idle for 1 s"') == 2
    assert place.statuses() == {"success": 1}


# -- exit codes -------------------------------------------------------------------------------------------------------


async def test_a_refusal_ends_the_run_with_its_code(place: Place, start: Start) -> None:
    config = several(place, {"default": place.job("done")})
    config["store"]["url"] = re.sub(r"//[^@/]*@", "//nobody:wrong@", place.store_url)
    sidecar = start(config)
    assert await sidecar.ended() == 77
    assert not sidecar.says("is replaced")


async def test_a_server_that_is_away_ends_the_run_where_that_is_wanted(embedded_place: Place, start: Start) -> None:
    config = several(embedded_place, {"default": embedded_place.job("done")})
    config["broker"]["url"] = "amqp://127.0.0.1:1/"
    sidecar = start(config, "--fail-fast")
    assert await sidecar.ended() == 69


async def test_once_is_refused(embedded_place: Place, start: Start) -> None:
    sidecar = start(several(embedded_place, {"default": embedded_place.job("done")}), "--once")
    assert await sidecar.ended() == 64
    assert sidecar.says("--once runs one task, and worker.processes is 2: set it to 1 (--processes 1)")


async def test_once_with_auto_is_one_process(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    await place.publish({"task_id": "a"}, {"task_id": "b"})
    sidecar = start(several(place, {"default": place.job("done")}, {"processes": "auto"}), "--once")
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 1}
    assert not sidecar.says("several processes")


async def test_the_flag_wins(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    config = several(place, {"default": place.job("done")}, {"processes": 1})
    sidecar = start(config, "--processes", "2")
    assert len(await ready(sidecar)) == 2
    refused = start(config, "--processes", "9")
    assert await refused.ended() == 78
    assert refused.says("command line: worker.processes = 9: must not be more than worker.concurrency (4)")
    one = start(config)
    await one.ready()
    assert (one.processes(), one.handlers()) == ([], [])


# -- hooks ------------------------------------------------------------------------------------------------------------


def noting(place: Place, then: str = ":") -> list[str]:
    script = f'echo "$GRIDSIDECAR_HOOK" >>"$0"; {then}'
    return ["/bin/sh", "-c", script, str(place.folder / "hooks")]


def hooks_run(place: Place) -> list[str]:
    file = place.folder / "hooks"
    return file.read_text().split() if file.exists() else []


async def test_hooks_of_the_worker_run_once_and_those_of_a_task_for_each(any_place: Place, start: Start) -> None:
    place = any_place
    names = ("on_startup", "on_task_start", "on_task_end", "on_shutdown")
    hooks = {name: noting(place) for name in names}
    await place.publish(*({"task_id": f"t{number}"} for number in range(6)))
    sidecar = start(several(place, {"default": place.job("done")}, hooks=hooks))
    await eventually(lambda: place.all_ended(6))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    told = hooks_run(place)
    assert (told[0], told[-1]) == ("on_startup", "on_shutdown")
    assert sorted(told[1:-1]) == ["on_task_end"] * 6 + ["on_task_start"] * 6


async def test_a_start_hook_that_fails_ends_the_run_before_any_task(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    await place.publish({"task_id": "t"})
    hooks = {"on_startup": noting(place, "echo no >&2; exit 3"), "on_shutdown": noting(place)}
    sidecar = start(several(place, {"default": place.job("done")}, hooks=hooks))
    assert await sidecar.ended() == 1
    assert sidecar.says("the hook on_startup failed, nothing was started: exit code 3: no")
    assert (hooks_run(place), place.journal.started) == (["on_startup"], [])


async def test_told_to_leave_during_the_start_hook(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    hooks = {"on_startup": noting(place, "exec sleep 1000"), "on_shutdown": noting(place)}
    sidecar = start(several(place, {"default": place.job("done")}, hooks=hooks))
    await eventually(lambda: hooks_run(place))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert hooks_run(place) == ["on_startup"]


async def test_a_replaced_process_runs_no_start_hook(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    sidecar = start(several(place, {"default": place.job("done")}, hooks={"on_startup": noting(place)}))
    processes = await ready(sidecar)
    os.kill(processes[0], signal.SIGKILL)
    await sidecar.ready(processes=3)
    assert hooks_run(place) == ["on_startup"]


# -- what it takes ----------------------------------------------------------------------------------------------------


async def test_it_is_small(place: Place, start: Start) -> None:
    sidecar = start(several(place, {"default": place.job("done")}, log={"level": "INFO"}))
    processes = await ready(sidecar)
    await place.publish(*({"task_id": f"t{number}"} for number in range(20)))
    await eventually(lambda: place.all_ended(20))
    supervisor, *others = (resident_mib(pid) for pid in (sidecar.pid, *processes))
    print(f"supervisor {supervisor:.1f} MiB, processes {', '.join(f'{other:.1f}' for other in others)} MiB")
    assert supervisor < 25
    assert max(others) < 64


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_secrets_are_in_no_command_line(place: Place, start: Start) -> None:
    sidecar = start(several(place, {"default": place.job("done")}, callbacks={"signing_secret": "hush-hush"}))
    processes = await ready(sidecar)
    for pid in (sidecar.pid, *processes):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"hush" not in words
        assert b"//" not in words


@pytest.fixture(autouse=True)
def _nothing_of_ours_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(tmp_path) == os.readlink(process / "cwd") and b"supervisor" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
