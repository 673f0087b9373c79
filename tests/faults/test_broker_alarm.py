"""RabbitMQ is short of memory: it takes acks and no messages, which then go out late, and once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import kept, not_ready, ready_in_the_end
from tests.support.place import Place
from tests.support.servers import RabbitMQ
from tests.support.waiting import eventually


@contextmanager
def short_of_memory(server: RabbitMQ) -> Iterator[None]:
    server.control("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        server.control("set_vm_memory_high_watermark", "0.4")


@pytest.mark.timeout(180)
async def test_acks_flow_and_delayed_messages_go_out_when_it_is_over(
    on_own_rabbitmq: Place, own_rabbitmq: RabbitMQ, start: Start
) -> None:
    """Row 9: a retry and a callback wait for their confirm; the tasks behind them are taken and acked."""
    place, gate = on_own_rabbitmq, on_own_rabbitmq.folder / "gate"
    jobs = {"default": place.job("until", gate), "flaky": place.job("flaky", 2)}
    sidecar = start(
        place.config(
            jobs,
            broker={"heartbeat": 2},
            worker={"concurrency": 2},
            retry={"max_retries": 1, "delay": 1},
            callbacks={"queue": f"{place.queue}.callbacks"},
        )
    )
    await place.publish({"task_id": "before", "task_type": "flaky"})
    await eventually(lambda: place.status("before") == "success")
    await place.publish(
        {"task_id": "t0"},
        {"task_id": "told", "callback_type": "rabbitmq"},
        {"task_id": "retried", "task_type": "flaky"},
        *({"task_id": f"t{number}"} for number in range(1, 10)),
    )
    await eventually(lambda: "told" in place.journal.started)
    with short_of_memory(own_rabbitmq):
        gate.touch()
        await sidecar.said("part=publishing")
        await sidecar.said("short of memory or disk")
        await eventually(lambda: place.statuses() == {"success": 12, "retrying": 1})
        assert place.callbacks("told")[0]["delivered_at"] is None
        assert not_ready(sidecar, "broker") == 0, "consuming never stopped"
    await eventually(lambda: place.status("retried") == "success", timeout=40)
    await eventually(lambda: place.count(f"{place.queue}.callbacks") >= 1, timeout=40)
    await eventually(lambda: place.callbacks("told")[0]["delivered_at"], timeout=40)
    assert len({properties["message_id"] for _, properties in place.take(f"{place.queue}.callbacks")}) == 1
    await eventually(lambda: ready_in_the_end(sidecar))
    await kept(place, sidecar, tasks=13, gap=1)
    assert place.journal.started.count("retried") == 2


@pytest.mark.timeout(180)
async def test_a_sidecar_may_start_meanwhile(on_own_rabbitmq: Place, own_rabbitmq: RabbitMQ, start: Start) -> None:
    """Row 9: it finds its queue, takes what is there, and leaves with 0 although a retry of it cannot be sent."""
    place = on_own_rabbitmq
    jobs = {"default": place.job("done"), "flaky": place.job("flaky", 2)}
    config = place.config(jobs, retry={"max_retries": 1, "delay": 1}, worker={"concurrency": 2, "shutdown_grace": 1})
    await place.publish({"task_id": "flaky", "task_type": "flaky"}, {"task_id": "plain"})
    with short_of_memory(own_rabbitmq):
        first = start(config)
        await first.ready()
        await eventually(lambda: place.statuses() == {"success": 1, "retrying": 1})
        first.terminate()
        assert await first.ended(timeout=60) == 0
    await kept(place, start(config), tasks=2, gap=1)
