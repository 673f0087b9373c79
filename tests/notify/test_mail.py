"""Mails, through real servers: what arrives, and what is never sent in clear."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.notify import email
from gridsidecar.notify.translations import CHINESE, ENGLISH
from gridsidecar.outbound import NotSent
from gridsidecar.outbound.mail import Mail, MailClient
from gridsidecar.rules.task import Report, Status
from tests.notify.updates import MOMENT, ORIGIN, digest, update
from tests.support.certificates import Authority
from tests.support.mail import mail_server
from tests.support.web import silence, web_server

MAIL = Mail(
    message_id="notice_1",
    moment=MOMENT,
    sender="Grid <grid@example.org>",
    to=["ops@example.org", "Dev <dev@example.org>"],
    subject="任务失败：resize",
    text="错误：no such image\n.\n" + "long " * 400 + "\nend\n",
)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Signs certificates that this process trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.pem))
    return made


async def send(url: str, mail: Mail = MAIL, timeout: float = 10) -> None:
    await MailClient(url, timeout).send(mail)


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with mail_server() as server:
        await send(f"smtp://{server.address}")
    (received,) = server.mails
    assert (received.sender, received.to) == ("grid@example.org", ["ops@example.org", "dev@example.org"])
    message = received.message
    assert message["Subject"] == "任务失败：resize"
    assert message["From"] == "Grid <grid@example.org>"
    assert message["To"] == "ops@example.org, Dev <dev@example.org>"
    assert message["Message-ID"] == "<notice_1@gridsidecar>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(message["Date"]) == MOMENT
    assert message.get_content().replace("\r\n", "\n") == MAIL.text


async def test_starttls_is_used_where_it_is_offered(authority: Authority) -> None:
    async with mail_server(starttls=authority.server("127.0.0.1")) as server:
        await send(f"smtp://{server.address}")
    assert [mail.encrypted for mail in server.mails] == [True]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_user_and_password_go_over_tls(authority: Authority, scheme: str) -> None:
    context = authority.server("127.0.0.1")
    tls: dict[str, Any] = {"starttls" if scheme == "smtp" else "tls": context}
    async with mail_server(login=True, **tls) as server:
        server.password = "p@ss:w/örd%"
        await send(f"{scheme}://us%40er:p%40ss%3Aw%2F%C3%B6rd%25@{server.address}")
    assert server.logins == [("us@er", "p@ss:w/örd%")]
    assert [mail.encrypted for mail in server.mails] == [True]


async def test_a_password_is_never_sent_in_clear() -> None:
    async with mail_server(login=True) as server:
        with pytest.raises(NotSent, match="offers no TLS, and a password is never sent in clear"):
            await send(f"smtp://user:right@{server.address}")
    assert (server.logins, server.mails) == ([], [])


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, scheme: str) -> None:
    context = Authority(tmp_path).server("127.0.0.1")
    tls: dict[str, Any] = {"starttls" if scheme == "smtp" else "tls": context}
    async with mail_server(login=True, **tls) as server:
        with pytest.raises(NotSent, match=r"mail server 127\.0\.0\.1:\d+: .*CERTIFICATE_VERIFY_FAILED"):
            await send(f"{scheme}://user:right@{server.address}")
    assert (server.logins, server.mails) == ([], [])


async def test_a_wrong_password_is_told_without_it(authority: Authority) -> None:
    async with mail_server(login=True, tls=authority.server("127.0.0.1")) as server:
        with pytest.raises(NotSent, match="535") as caught:
            await send(f"smtps://user:wrong@{server.address}")
    assert "wrong" not in str(caught.value)
    assert server.mails == []


async def test_a_refused_receiver_does_not_keep_the_mail_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with mail_server() as server:
        server.refused = {"dev@example.org"}
        await send(f"smtp://{server.address}")
    assert [mail.to for mail in server.mails] == [["ops@example.org"]]
    (record,) = caplog.records
    assert record.message == "the mail server refused a receiver"
    assert record.__dict__["fields"] == {"to": "dev@example.org", "reason": "no such mailbox"}


async def test_a_mail_that_no_receiver_gets_is_an_error() -> None:
    async with mail_server() as server:
        server.refused = {"ops@example.org", "dev@example.org"}
        with pytest.raises(NotSent, match="550 no such mailbox"):
            await send(f"smtp://{server.address}")


async def test_a_server_that_does_not_take_it_is_quoted() -> None:
    async with mail_server() as server:
        server.answer = "452 disk full"
        with pytest.raises(NotSent, match="452 disk full"):
            await send(f"smtp://{server.address}")


async def test_a_server_that_hangs_costs_no_more_than_the_limit() -> None:
    async with web_server() as server:
        server.answer = silence()
        started = time.monotonic()
        with pytest.raises(NotSent, match=r"no answer within 0\.5 s"):
            await send(f"smtp://127.0.0.1:{server.port}", timeout=0.5)
        assert time.monotonic() - started < 60


async def test_a_name_that_hangs_holds_no_thread_of_others() -> None:
    """Hooks and files go through the loop's own threads; look-ups of mail servers have theirs."""
    gone = threading.Event()

    def hang(host: str) -> list[str]:
        gone.wait(20)
        return []

    try:
        clients = [MailClient(f"smtp://mail{number}.example", 0.3, resolve=hang) for number in range(40)]
        ended = await asyncio.gather(*(client.send(MAIL) for client in clients), return_exceptions=True)
        assert all("no answer within 0.3 s" in str(error) for error in ended)
        async with asyncio.timeout(15):  # they hang for 20 s
            await asyncio.to_thread(int)
    finally:
        gone.set()


async def test_the_loop_resolves_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *names, **_: asked.append(names))
    async with mail_server() as server:
        await send(f"smtp://localhost:{server.port}")
    assert (len(server.mails), asked) == (1, [])


async def test_a_name_without_an_address() -> None:
    def unknown(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(NotSent, match=r"mail server mail\.example:25: .*Name or service not known"):
        await MailClient("smtp://mail.example", 5, resolve=unknown).send(MAIL)


async def test_the_next_address_is_tried_where_one_is_dead() -> None:
    async with mail_server() as server:
        client = MailClient(f"smtp://mail.example:{server.port}", 5, resolve=lambda _: ["127.0.0.9", "127.0.0.1"])
        await client.send(MAIL)
    assert len(server.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("name", ["mail.example", "other.example"])
async def test_the_certificate_must_be_that_of_the_name(authority: Authority, scheme: str, name: str) -> None:
    context = authority.server("mail.example")
    tls: dict[str, Any] = {"starttls" if scheme == "smtp" else "tls": context}
    async with mail_server(login=True, **tls) as server:
        url = f"{scheme}://user:right@{name}:{server.port}"
        client = MailClient(url, 5, resolve=lambda _: ["127.0.0.1"])
        if name == "other.example":
            with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
                await client.send(MAIL)
        else:
            await client.send(MAIL)
    assert len(server.mails) == (name == "mail.example")


async def test_a_server_that_is_away() -> None:
    async with web_server() as server:
        pass
    with pytest.raises(NotSent, match=rf"mail server 127\.0\.0\.1:{server.port}: .*"):
        await send(f"smtp://127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "failed\nBcc: victim@example.org"},
        {"subject": "failed\r\n\r\nbody"},
        {"sender": "grid@example.org\nBcc: victim@example.org"},
        {"to": ["ops@example.org\r\nRCPT TO:<victim@example.org>"]},
        {"to": ["nobody"]},
        {"sender": "grid"},
    ],
)
async def test_no_header_can_be_smuggled_in(fields: dict[str, Any]) -> None:
    async with mail_server() as server:
        with pytest.raises(NotSent):
            await send(f"smtp://{server.address}", replace(MAIL, **fields))
    assert server.mails == []


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_mail_of_one_task() -> None:
    failed = digest(update(attempt=2, retry_count=1, max_retry_count=1, report=Report(stderr_tail="boom\n")))
    assert email.subject(failed, ORIGIN, ENGLISH) == "[task_queue] Task failed: resize"
    assert email.text(failed, ORIGIN, ENGLISH) == (
        "Task: r-1\nType: resize\nQueue: task_queue\nWorker: pod-1\nAttempt: 2 of 2\nTook: 0.0 s\n"
        "Time: 2026-01-02 03:04:05 UTC\n\nNotFound: no such image\n\nEnd of stderr:\nboom\n"
    )
    assert email.subject(failed, ORIGIN, CHINESE) == "[task_queue] 任务失败：resize"
    assert "执行次数：第 2 次，共 2 次\n" in email.text(failed, ORIGIN, CHINESE)


def test_the_mail_of_many_tasks() -> None:
    content = digest(update("a"), update("b", Status.RETRYING, error="net", error_type="Net"))
    assert email.subject(content, ORIGIN, ENGLISH) == "[task_queue] 2 tasks: 1 failed, 1 retrying"
    assert email.text(content, ORIGIN, ENGLISH) == (
        "2 tasks: 1 failed, 1 retrying\n\nQueue: task_queue\nWorker: pod-1\n\n"
        "1 × failed · resize · NotFound\n1 × retrying · resize · Net\n\n"
        "a · NotFound: no such image\nb · Net: net\n"
    )


async def test_no_task_can_write_a_header() -> None:
    content = digest(update("a\nBcc: x@example.org", task_type="resize\r\nBcc: x@example.org\r\n\r\nbody"))
    async with mail_server() as server:
        channel = email.Email(MailClient(f"smtp://{server.address}", 5), "a@b.org", ["c@d.org"], ORIGIN, ENGLISH)
        await channel.send(content, "notice_2", MOMENT)
    (received,) = server.mails
    assert received.message["Subject"] == "[task_queue] Task failed: resize Bcc: x@example.org body"
    assert (received.message["Bcc"], received.to) == (None, ["c@d.org"])
