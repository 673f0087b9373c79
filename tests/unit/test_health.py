"""What probes are told: of one process, of several, of loops that die."""

from __future__ import annotations

import asyncio

import pytest

from gridsidecar.runtime.health import LONGEST_REASON, MOST_REASONS, Health, Vitals, in_words, livez, of_all, readyz

READY = Health()
AWAY = Health(not_ready={"store": "it is away"})
BROKEN = Health({"lease": "it died"}, {})


def test_a_server_that_is_away_is_no_reason_for_a_restart() -> None:
    assert livez(AWAY) == (200, "alive")
    assert readyz(AWAY) == (503, {"store": "it is away"})


def test_what_is_broken_takes_no_tasks_either() -> None:
    assert livez(BROKEN) == (503, "lease: it died")
    assert readyz(BROKEN) == (503, {"lease": "it died"})
    assert readyz(READY) == (200, {})


def test_a_handler_is_named_once() -> None:
    reasons = {"handler resize start": "handler resize: ./resize: it is not there", "store": "it is away"}
    assert in_words(reasons) == ["handler resize: ./resize: it is not there", "store: it is away"]


def test_several_are_ready_where_one_is() -> None:
    assert of_all([AWAY, READY, BROKEN], {}) == READY
    assert of_all([AWAY, BROKEN], {}) == Health({}, {"store": "it is away", "lease": "it died"})
    assert readyz(of_all([], {})) == (503, {"worker": "no process is there yet"})
    assert livez(of_all([READY], {"pulse": "it died"}))[0] == 503


def test_what_is_told_to_a_supervisor_has_a_limit() -> None:
    brief = Health({}, {f"part {number}": "x" * 9999 for number in range(999)}).brief()
    assert len(brief.not_ready) == MOST_REASONS
    assert {len(reason) for reason in brief.not_ready.values()} == {LONGEST_REASON}


async def test_a_loop_that_dies_is_missed_and_one_that_is_stopped_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    async def dies() -> None:
        raise ValueError("no")

    async def is_cancelled_by_a_client() -> None:
        raise asyncio.CancelledError

    async def goes_on() -> None:
        await asyncio.sleep(3600)

    vitals = Vitals()
    loops = [vitals.start(loop.__name__, loop()) for loop in (dies, is_cancelled_by_a_client, goes_on)]
    await asyncio.sleep(0)
    loops[2].cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    assert set(vitals.broken) == {"dies", "is_cancelled_by_a_client"}
    assert "ValueError: no" in vitals.broken["dies"]
