"""Messages that arrive while a sidecar leaves because it had nothing to do: each is run, and none waits for long."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.e2e.conftest import Start
from tests.faults.history import History, Sent, assert_kept
from tests.support.place import Place
from tests.support.waiting import eventually

ROUNDS = 40
SEED = 26


@pytest.mark.timeout(300)
async def test_a_message_meets_a_sidecar_that_is_leaving(place: Place, start: Start) -> None:
    """Its idle time is over at about the moment when the next message is sent; its successor comes at once."""
    chance = random.Random(SEED)
    history = History.of(place, *(Sent(task_id=f"t{number}", end="success") for number in range(ROUNDS)))
    config = place.config({"default": place.job("done")}, worker={"idle_timeout": 0.4, "burst_check_interval": 0.05})
    sidecar = start(config)
    await sidecar.ready()
    for number in range(ROUNDS):
        await asyncio.sleep(chance.uniform(0.3, 0.6))  # not a wait: before, in the middle of, and after its leaving
        await place.publish({"task_id": f"t{number}"})
        if sidecar.exit_code is not None:
            assert sidecar.exit_code == 0
            sidecar = start(config)
            await sidecar.ready()
    await sidecar.ended()
    last = start(config)
    await eventually(lambda: place.all_ended(ROUNDS))
    assert await last.ended() == 0
    assert len(place.journal.started) == ROUNDS, "nothing was started twice, and nothing was given back half-way"
    assert_kept(history)
