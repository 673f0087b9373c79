"""What doctor finds at a real RabbitMQ, with and without its management API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped]
import pytest

from gridsidecar.doctor import Finding
from tests.doctor.looking import look, states
from tests.e2e.test_deployed_rabbitmq import Management
from tests.support.proxy import proxied
from tests.support.servers import RabbitMQ, answers, free_port, wait
from tests.support.services import private_rabbitmq

PATIENCE = 6.0  # seconds, for a check of three and goodbyes


class Server:
    def __init__(self, rabbitmq: RabbitMQ, port: int) -> None:
        self.rabbitmq = rabbitmq
        self.url = rabbitmq.url
        self.management = f"http://127.0.0.1:{port}"
        self.api = Management(f"http://guest:guest@127.0.0.1:{port}")

    def declare(self, queue: str, *, durable: bool = True, **arguments: Any) -> None:
        named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            connection.channel().queue_declare(queue, durable=durable, arguments=named)

    def user(self, name: str, rights: str) -> str:
        """The URL of a new user who may do everything with names of this pattern."""
        self.api.user(name, tags="", rights=rights)
        return self.url.replace("guest:guest", f"{name}:p-w")

    def queues(self) -> list[str]:
        return sorted(each["name"] for each in self.api.call("GET", "queues/%2F"))

    def policy(self, queue: str, **definition: Any) -> None:
        content = {name.replace("_", "-"): value for name, value in definition.items()}
        self.api.call("PUT", f"policies/%2F/{queue}", {"pattern": f"^{queue}$", "definition": content})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    port = free_port()
    conf = [f"management.tcp.port = {port}", "management.tcp.ip = 127.0.0.1", "collect_statistics_interval = 1000"]
    with private_rabbitmq(conf, ["rabbitmq_management"]) as rabbitmq:
        assert wait(lambda: answers(port, b"GET / HTTP/1.0\r\n\r\n"), 60)
        yield Server(rabbitmq, port)


def config(tmp_path: Path, url: str, **broker: Any) -> dict[str, Any]:
    return {"broker": {"url": url, **broker}, "store": {"url": f"sqlite:///{tmp_path}/s.db"}}


async def test_all_is_well_and_nothing_is_left_behind(server: Server, tmp_path: Path) -> None:
    server.declare("good")
    before = server.queues()
    deadline = time.monotonic() + 30  # the API's figures of a new queue come a little later
    while True:
        found = await look(
            tmp_path, config(tmp_path, server.url, queue="good", management_url=server.management), "broker"
        )
        if found["broker.management"].state != "unknown" or time.monotonic() > deadline:
            break
    assert states(found) == {
        "broker.connect": "ok",
        "broker.version": "ok",
        "broker.queue": "ok",
        "broker.queue.arguments": "ok",
        "broker.queue.delivery_limit": "ok",
        "broker.consumer_timeout": "unknown",
        "broker.delays": "ok",
        "broker.dead_letters": "ok",
        "broker.management": "ok",
    }
    assert "0 messages, 0 of them in hand" in found["broker.management"].found
    assert server.queues() == before


async def test_a_missing_queue_is_told_and_not_made(server: Server, tmp_path: Path) -> None:
    before = server.queues()
    found = await look(tmp_path, config(tmp_path, server.url, queue="none"), "broker")
    assert (found["broker.queue"].state, found["broker.queue.arguments"].state) == ("warn", "unknown")
    found = await look(tmp_path, config(tmp_path, server.url, queue="none", declare=False), "broker.queue")
    assert found["broker.queue"].state == "fail"
    assert server.queues() == before


@pytest.mark.parametrize(
    ("declared", "stated", "state", "word"),
    [
        ({"queue_type": "quorum"}, {}, "warn", "broker.queue_type: quorum"),
        ({"queue_type": "quorum"}, {"queue_type": "quorum"}, "ok", ""),
        ({"queue_type": "stream"}, {}, "fail", "classic or a quorum"),
        ({"durable": False}, {}, "warn", "durable"),
        ({"max_priority": 3}, {"max_priority": 9}, "warn", "anew"),
        ({"max_priority": 9}, {"max_priority": 9}, "ok", ""),
        ({"message_ttl": 5000}, {}, "warn", "message-ttl"),
        ({"max_length": 7, "overflow": "reject-publish"}, {}, "warn", "max-length"),
        ({"single_active_consumer": True}, {}, "warn", "single-active-consumer"),
    ],
)
async def test_arguments_that_differ(
    server: Server, tmp_path: Path, declared: dict[str, Any], stated: dict[str, Any], state: str, word: str
) -> None:
    name = f"q-{'-'.join(map(str, (*declared.values(), *stated)))}"
    server.declare(name, **declared)
    found = await look(tmp_path, config(tmp_path, server.url, queue=name, **stated), "broker.queue.arguments")
    finding = found["broker.queue.arguments"]
    assert finding.state == state, finding
    assert word in finding.advice


async def test_what_a_policy_says_is_known_by_the_management_api_only(server: Server, tmp_path: Path) -> None:
    server.declare("limited", queue_type="quorum")
    server.policy("limited", delivery_limit=2)
    stated = {"queue": "limited", "queue_type": "quorum"}
    found = await look(tmp_path, config(tmp_path, server.url, **stated), "broker.queue.delivery_limit")
    assert found["broker.queue.delivery_limit"].state == "unknown"
    managed = config(tmp_path, server.url, management_url=server.management, **stated)

    async def limit() -> Finding:
        return (await look(tmp_path, managed, "broker.queue.delivery_limit"))["broker.queue.delivery_limit"]

    async def told(state: str) -> Finding:
        """A policy takes a moment to be in force."""
        until = time.monotonic() + 30
        while (finding := await limit()).state != state and time.monotonic() < until:
            await asyncio.sleep(0.2)
        assert finding.state == state, finding
        return finding

    assert "more than 2 times" in (await told("warn")).found
    # What it advises, done, mends it.
    server.policy("limited", delivery_limit=9, dead_letter_exchange="", dead_letter_routing_key="limited.dead")
    await told("ok")


async def test_a_delay_queue_with_other_arguments(server: Server, tmp_path: Path) -> None:
    server.declare("odd")
    server.declare("odd.delay.60", message_ttl=1)
    finding = (await look(tmp_path, config(tmp_path, server.url, queue="odd"), "broker.delays"))["broker.delays"]
    assert finding.state == "fail"
    assert "odd.delay.60" in finding.found
    assert "odd.delay.30" not in finding.found


async def test_a_user_without_rights(server: Server, tmp_path: Path) -> None:
    url = server.user("poor", "^mine$")
    found = await look(tmp_path, config(tmp_path, url, queue="mine"), "broker")
    assert (found["broker.connect"].state, found["broker.delays"].state) == ("ok", "fail")
    assert found["broker.dead_letters"].state == "fail"
    found = await look(tmp_path, config(tmp_path, url, queue="theirs"), "broker.queue")
    assert found["broker.queue"].state == "fail"
    assert "p-w" not in str(found)


@pytest.mark.parametrize(("old", "new"), [("guest:guest", "guest:wr0ng"), ("/%2F", "/no-such-vhost")])
async def test_a_login_or_virtual_host_that_is_refused(server: Server, tmp_path: Path, old: str, new: str) -> None:
    found = await look(tmp_path, config(tmp_path, server.url.replace(old, new)), "broker")
    assert found["broker.connect"].state == "fail"
    assert "wr0ng" not in str(found)
    assert found["broker.delays"].found == "could not be asked: see broker.connect"


@pytest.mark.parametrize("fault", ["freeze", "refuse", "swallow"])
async def test_a_broker_that_is_away_or_hangs(server: Server, tmp_path: Path, fault: str) -> None:
    async with proxied(server.url) as (proxy, url):
        if fault == "refuse":
            await proxy.refuse()
        else:
            getattr(proxy, fault)("upstream", "downstream")
        began = time.monotonic()
        found = await look(tmp_path, config(tmp_path, url))
        assert time.monotonic() - began < PATIENCE
        assert found["broker.connect"].state == "fail"
        assert {
            finding.state for name, finding in found.items() if name.startswith("broker.") and "c" not in name[7]
        } <= {"unknown"}
        assert (found["store.connect"].state, found["handlers.default"].state) == ("ok", "ok")
        proxy.heal()


async def test_a_management_api_that_is_wrong(server: Server, tmp_path: Path) -> None:
    server.declare("asked")
    port = urlsplit(server.management).port

    async def told(url: str) -> tuple[str, str]:
        finding = (
            await look(tmp_path, config(tmp_path, server.url, queue="asked", management_url=url), "broker.management")
        )["broker.management"]
        return str(finding.state), finding.found

    assert (await told(f"http://guest:wr0ng@127.0.0.1:{port}"))[0] == "fail"
    state, text = await told(f"http://127.0.0.1:{port}/prod")  # KEDA's way to write it
    assert state == "fail"
    assert "without a virtual host" in text
    assert (await told(f"http://127.0.0.1:{free_port()}"))[0] == "fail"
    state, text = await told(f"http://127.0.0.1:{urlsplit(server.url).port}")  # that is AMQP
    assert state == "fail"


async def test_a_management_api_without_figures(tmp_path: Path) -> None:
    port = free_port()
    conf = [f"management.tcp.port = {port}", "management.tcp.ip = 127.0.0.1"]
    with private_rabbitmq(
        [*conf, "management_agent.disable_metrics_collector = true"], ["rabbitmq_management"]
    ) as rabbitmq:
        server = Server(rabbitmq, port)
        assert wait(lambda: answers(port, b"GET / HTTP/1.0\r\n\r\n"), 60)
        server.declare("unseen")
        told = config(tmp_path, server.url, queue="unseen", management_url=server.management)
        finding = (await look(tmp_path, told, "broker.management"))["broker.management"]
    assert finding.state == "fail", finding
    assert "KEDA counts 0" in finding.found
