"""What an idle sidecar costs: the time to its first message, and memory."""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place

START_S = 0.8
NOISE = 3  # other work on a test machine slows a start down, and nothing but that
RESIDENT_BYTES = 64 * 1024 * 1024
TRIES = 3


@pytest.mark.alone
async def test_it_starts_fast_and_idles_small(place: Place, start: Start) -> None:
    config = place.config({"default": place.job("done")}, log={"level": "INFO"})
    seconds: list[float] = []
    resident: list[int] = []
    for number in range(TRIES):
        began = time.monotonic()
        sidecar = start(config, anew=True)
        await sidecar.ready()
        seconds.append(time.monotonic() - began)
        await place.publish({"task_id": f"t{number}"})
        await sidecar.said("task success")
        resident.append(sidecar.resident_bytes())
        sidecar.terminate()
        assert await sidecar.ended() == 0
    print(f"start to consuming {min(seconds):.2f} s, resident {max(resident) / 2**20:.1f} MiB")
    assert min(seconds) <= START_S * NOISE
    assert max(resident) <= RESIDENT_BYTES
