"""From a name to the address that is contacted: looked up once, checked, and no other."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress

import pytest

from gridsidecar.outbound import EgressPolicy, HttpClient, NotSent, NotTried, Reply, TargetRefused
from gridsidecar.outbound.resolver import THREADS_FOR_NEW_NAMES
from tests.outbound.conftest import Connect
from tests.support.waiting import eventually
from tests.support.web import Web, raw, reply


class Names:
    """A resolver with an answer for each question; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "0",
        "[::]",
        "localhost",
        "LocalHost",
        "good.example.org@127.0.0.1",
        "good.example.org:80@127.0.0.1",
        "１２７.0.0.1",
        "①27.0.0.1",
        "ⓛocalhost",
    ],
)
async def test_this_machine_in_every_spelling(connect: Connect, web: Web, host: str) -> None:
    with pytest.raises((TargetRefused, NotSent)) as caught:
        await connect(targets=EgressPolicy()).post(f"http://{host}:{web.port}/", b"{}", {})
    if caught.type is NotSent:  # this machine's resolver does not know the spelling
        assert "cannot be resolved" in str(caught.value)
    assert web.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "good@127.0.0.1", "localhost"])
async def test_the_refusal_names_the_setting(connect: Connect, web: Web, host: str) -> None:
    url = f"http://{host}:{web.port}/"
    with pytest.raises(TargetRefused, match=r"is a loopback address; callbacks\.allow: ") as caught:
        await connect(targets=EgressPolicy()).post(url, b"{}", {})
    entry = str(caught.value).split('callbacks.allow: ["')[1].split('"]')[0]
    assert (await connect(targets=EgressPolicy([entry])).post(url, b"{}", {})).status == 200


async def test_the_operators_own_urls_may_lead_anywhere(connect: Connect, web: Web) -> None:
    assert (await connect(targets=None).post(f"http://localhost:{web.port}/", b"{}", {})).status == 200


async def test_one_bad_address_of_several_is_enough(connect: Connect, web: Web) -> None:
    for addresses in (["127.0.0.1", "169.254.169.254"], ["169.254.169.254", "127.0.0.1"]):
        client = connect(targets=EgressPolicy(["127.0.0.1"]), resolve=Names(addresses))
        with pytest.raises(TargetRefused, match=r"169\.254\.169\.254 is a cloud's metadata service"):
            await client.post(f"http://mixed.example:{web.port}/", b"{}", {})
    assert web.connections == 0


async def test_a_name_is_looked_up_once_and_what_was_checked_is_contacted(connect: Connect, web: Web) -> None:
    """The second answer would lead to an address that is not allowed, and on which nobody listens."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    client = connect(targets=EgressPolicy(["127.0.0.1"]), resolve=names)
    url = f"http://rebinding.example:{web.port}/"
    assert (await client.post(url, b"{}", {})).status == 200
    assert names.asked == ["rebinding.example"]
    assert web.requests[0].headers["host"] == f"rebinding.example:{web.port}"
    web.answer = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert (await client.post(url, b"{}", {})).status == 200  # the kept connection needs no look-up
    assert names.asked == ["rebinding.example"]
    with pytest.raises(TargetRefused, match=r"127\.0\.0\.2 is a loopback address"):  # a new one is checked anew
        await client.post(url, b"{}", {})


async def test_a_redirect_to_a_forbidden_address_is_only_a_reply(connect: Connect, web: Web) -> None:
    web.answer = reply(302, {"Location": "http://169.254.169.254/latest/meta-data"})
    client = connect(targets=EgressPolicy(["127.0.0.1"]))
    assert (await client.post(web.url, b"{}", {})).status == 302
    assert len(web.requests) == 1


async def test_names_reach_the_resolver_in_ascii(connect: Connect, web: Web) -> None:
    names = Names(["127.0.0.1"])
    client = connect(resolve=names)
    await client.post(f"http://BÜCHER.example:{web.port}/", b"{}", {})
    assert names.asked == ["xn--bcher-kva.example"]
    assert web.requests[0].headers["host"] == f"xn--bcher-kva.example:{web.port}"


async def test_addresses_are_tried_in_turn(connect: Connect, web: Web) -> None:
    client = connect(resolve=Names(["127.0.0.2", "::1", "127.0.0.1"]))
    assert (await client.post(f"http://several.example:{web.port}/", b"{}", {})).status == 200


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(connect: Connect, web: Web) -> None:
    with ExitStack() as sockets, socket.socket() as full:
        full.bind(("127.0.0.2", web.port))
        full.listen(0)
        for _ in range(3):  # more than its queue takes: from now on nobody gets an answer
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.2", web.port))
        names = Names(["127.0.0.2", "127.0.0.1"])
        assert (await connect(6, resolve=names).post(f"http://several.example:{web.port}/", b"{}", {})).status == 200
        both = connect(4, resolve=Names(["127.0.0.2", "127.0.0.3"]))  # nobody listens at the second
        with pytest.raises(NotSent, match=r"could not be reached: it does not answer$"):
            await both.post(f"http://several.example:{web.port}/", b"{}", {})
        only = connect(0.5, resolve=Names(["127.0.0.2"]))
        with pytest.raises(NotSent, match=r"could not be reached within 0\.5 s"):
            await only.post(f"http://one.example:{web.port}/", b"{}", {})


async def test_a_name_without_addresses(connect: Connect) -> None:
    with pytest.raises(NotSent, match=r"^empty\.example cannot be resolved: it has no address"):
        await connect(targets=EgressPolicy(), resolve=Names([])).post("http://empty.example/", b"{}", {})


async def test_look_ups_that_hang_are_bounded_and_left_alone(connect: Connect, web: Web) -> None:
    """What found no room was not tried; addresses and names that were good lately are not held up."""
    back = threading.Event()
    asked: list[str] = []

    def hang(host: str) -> list[str]:
        asked.append(host)
        if host.startswith("hanging"):
            back.wait(60)
        return ["127.0.0.1"]

    client = connect(6, resolve=hang)
    await client.open()
    assert (await client.post(f"http://good.example:{web.port}/", b"{}", {})).status == 200
    web.answer = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    posts = [
        client.post(f"http://hanging{number}.example:{web.port}/", b"{}", {})
        for number in range(THREADS_FOR_NEW_NAMES + 10)
    ]
    ends = await asyncio.gather(*posts, *(client.post(web.url, b"{}", {}) for _ in range(3)), return_exceptions=True)
    assert [end.status for end in ends[-3:] if isinstance(end, Reply)] == [200, 200, 200]
    assert sum(isinstance(end, NotTried) for end in ends) == 10
    assert sum("could not be reached within 6 s" in str(end) for end in ends) == THREADS_FOR_NEW_NAMES
    assert (await client.post(f"http://good.example:{web.port}/", b"{}", {})).status == 200
    with pytest.raises(NotTried, match=r"^new\.example was not looked up: 48 other names wait"):
        await client.post(f"http://new.example:{web.port}/", b"{}", {})
    with pytest.raises(NotSent, match="could not be reached within 6 s"):  # the same question is not asked twice
        await client.post(f"http://hanging0.example:{web.port}/", b"{}", {})
    assert len(asked) == 1 + THREADS_FOR_NEW_NAMES + asked[1:].count("good.example")
    back.set()
    await eventually(lambda: not any(thread.name == "look-up" for thread in threading.enumerate()))
    assert (await client.post(f"http://new.example:{web.port}/", b"{}", {})).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_an_address_is_not_looked_up(connect: Connect, web: Web, host: str) -> None:
    names = Names([])
    with suppress(NotSent):  # the server listens on IPv4 alone
        await connect(resolve=names).post(f"http://{host}:{web.port}/", b"{}", {})
    assert names.asked == []
    assert len(web.requests) == 1


HANGING = """
import asyncio, time
from gridsidecar.outbound import HttpClient, NotSent

async def main():
    client = HttpClient(0.3, None, resolve=lambda host: time.sleep(3600))
    try:
        await client.post("http://hanging.example/", b"", {})
    except NotSent as error:
        print(error)
    await client.close()

asyncio.run(main())
"""


def test_the_program_ends_although_a_resolver_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "hanging.example:80 could not be reached within 0.3 s\n"


def test_nothing_heavy_is_loaded_before_the_first_post_nor_what_nobody_needs_with_it() -> None:
    program = (
        "import asyncio, sys; from gridsidecar.outbound import *\n"
        "async def main():\n"
        "    client = HttpClient(1, EgressPolicy())\n"
        "    print(*{'httpcore', 'httpx', 'rich'} & set(sys.modules))\n"
        "    await client.open()\n"
        "    print(*sorted({'httpcore', 'httpx', 'rich', 'click', 'pygments'} & set(sys.modules)))\n"
        "    await client.close()\n"
        "asyncio.run(main())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "\nhttpcore httpx\n"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "must start with http:// or https://"),
        ("example.org/hook", "must start with http:// or https://"),
        ("ftp://example.org/", "must start with http:// or https://, not with 'ftp'"),
        ("file:///etc/passwd", "not with 'file'"),
        ("http:///path", "names no host: write http://host/path"),
        ("https://", "names no host: write https://host/path"),
        ("http://:80/", "cannot be read|names no host"),
        ("http://user:S3CRET@[::1/", "cannot be read"),
        ("http://user:S3CRET@host:99999/", "cannot be read"),
        ("http://user:S3CRET@host:port/", "cannot be read"),
        ("http://user:S3CRET@a b/", "is no host name: 'a b'"),
        ("http://h%00/", "is no host name"),
        ("http://user:S3CRET@300.1.1.1/", "is no host name: '300.1.1.1'"),
        ("http://[fe80::1%25eth0]/", "is no host name"),
        (f"http://{'a.' * 200}org/", "is no host name"),
    ],
)
async def test_a_url_that_leads_nowhere_is_refused_for_good(connect: Connect, url: str, told: str) -> None:
    with pytest.raises(TargetRefused, match=told) as caught:
        await connect(targets=EgressPolicy()).post(url, b"{}", {})
    assert "S3CRET" not in str(caught.value)
    assert len(str(caught.value)) < 200


async def test_a_client_may_be_closed_unused() -> None:
    await HttpClient(1, None).close()
