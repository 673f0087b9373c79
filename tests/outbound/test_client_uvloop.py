"""The same on the event loop that `run` uses; it may leave no socket and no exception behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.outbound import test_client, test_client_egress, test_client_tls
from tests.outbound.conftest import Connect, clients
from tests.support.certificates import Authority
from tests.support.web import Web, slow_headers, web_server


async def slow(connect: Connect, web: Web) -> None:
    await test_client.test_headers_must_come_in_time(connect, web, slow_headers(0.05))


def on_uvloop(main: Callable[[], Awaitable[None]]) -> None:
    complaints: list[Any] = []

    async def complete() -> None:
        await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(complete())
        gc.collect()
    assert complaints == []


@pytest.mark.parametrize(
    "scenario",
    [
        slow,
        test_client.test_connections_are_kept,
        test_client.test_a_kept_connection_that_has_ended_does_not_count_against_the_receiver,
        test_client.test_a_server_that_closes_at_once,
        test_client.test_nobody_listens,
        test_client.test_many_slow_receivers_hold_up_nobody_else,
        test_client.test_a_body_that_never_ends_fills_no_memory,
        test_client.test_the_time_limit_ends_the_body_too,
        test_client.test_a_post_that_is_cancelled_leaves_nothing_open,
        test_client_egress.test_a_name_is_looked_up_once_and_what_was_checked_is_contacted,
        test_client_egress.test_addresses_are_tried_in_turn,
        test_client_egress.test_an_address_that_does_not_answer_leaves_time_for_the_next,
        test_client_egress.test_look_ups_that_hang_are_bounded_and_left_alone,
    ],
)
def test_plain(scenario: Callable[[Connect, Web], Awaitable[None]]) -> None:
    async def main() -> None:
        async with clients() as connect, web_server() as web:
            await scenario(connect, web)

    on_uvloop(main)


@pytest.mark.parametrize(
    "scenario",
    [
        test_client_tls.test_the_certificate_the_greeting_and_the_host_header_are_about_the_name,
        test_client_tls.test_a_certificate_for_another_name,
        test_client_tls.test_a_handshake_that_hangs_is_left_in_time,
        test_client_tls.test_a_connection_that_ends_with_the_body_is_not_used_again,
        test_client_tls.test_time_out_over_tls,
    ],
)
def test_tls(
    scenario: Callable[[Connect, Authority], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))

    async def main() -> None:
        async with clients() as connect:
            await scenario(connect, authority)

    on_uvloop(main)
