"""What doctor finds of the address of the API and of the heartbeat's file; and dead letters in a file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.broker import make_broker
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.http import ApiServer
from gridsidecar.rules.task import Message
from gridsidecar.telemetry import Readiness
from tests.doctor.looking import look
from tests.support.servers import free_port


def config(folder: Path, **sections: Any) -> dict[str, Any]:
    url = f"sqlite:///{folder}/q.db"
    return {"broker": {"url": url}, "store": {"url": url}, **sections}


async def test_an_address_that_is_free(tmp_path: Path) -> None:
    http: dict[str, Any] = {"listen": f"127.0.0.1:{free_port()}"}
    found = (await look(tmp_path, config(tmp_path, http=http), "http"))["http.listen"]
    assert (found.state, "without a token" in found.found) == ("ok", True)
    http["token"] = "x" * 20
    found = (await look(tmp_path, config(tmp_path, http=http), "http"))["http.listen"]
    assert (found.state, "a token is asked for" in found.found) == ("ok", True)
    assert "x" * 20 not in found.found
    del http["token"]
    http["token_file"] = str(tmp_path / "nowhere")
    found = (await look(tmp_path, config(tmp_path, http=http), "http"))["http.listen"]
    assert (found.state, "cannot be read" in found.found) == ("fail", True)


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        taken.close()
    server = ApiServer(
        Settings.model_validate(
            {**config(tmp_path), "handlers": {"default": {"command": ["true"]}}, "http": {**http, "token": "x" * 20}}
        ),
        SystemClock(),
    )
    server.start()
    found = (await look(tmp_path, config(tmp_path, http=http), "http"))["http.listen"]
    await server.stop(1.0)
    assert (found.state, "answered by a gridsidecar" in found.found) == ("ok", True)


@pytest.mark.parametrize(("host", "words"), [("127.0.0.1", "taken by another program"), ("203.0.113.9", "203.0.113.9")])
async def test_an_address_that_cannot_be_had(tmp_path: Path, host: str, words: str) -> None:
    import asyncio

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        http = {"listen": f"{host}:{server.sockets[0].getsockname()[1]}", "token": "x" * 20}
        found = (await look(tmp_path, config(tmp_path, http=http), "http"))["http.listen"]
    assert (found.state, words in found.found) == ("fail", True)


async def test_the_heartbeat(tmp_path: Path) -> None:
    file = tmp_path / "health"

    async def found(name: str) -> tuple[str, str]:
        told = config(tmp_path, worker={"heartbeat_file": name})
        finding = (await look(tmp_path, told, "worker.heartbeat_file"))["worker.heartbeat_file"]
        return str(finding.state), finding.found

    assert (await found(str(file)))[0] == "ok"
    assert (await found("/no/such/folder/health"))[0] == "fail"
    file.write_text("1.0\n")
    state, words = await found(str(file))
    assert (state, "hangs or is gone" in words) == ("warn", True)


async def test_dead_letters_in_a_file(tmp_path: Path) -> None:
    found = await look(tmp_path, config(tmp_path), "broker.dead_letters")
    assert found["broker.dead_letters"].found == "none: the file is not there yet"
    settings = Settings.model_validate({**config(tmp_path), "handlers": {"default": {"command": ["true"]}}})
    broker = make_broker(settings.broker, Readiness())
    await broker.open()
    await broker.ensure_dead_letters()
    await broker.dead_letter(Message(body=b"rubbish"), "bad")
    await broker.close()
    found = await look(tmp_path, config(tmp_path), "broker.dead_letters")
    assert "holds 1;" in found["broker.dead_letters"].found
