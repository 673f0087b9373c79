"""A mail server for tests on 127.0.0.1: it keeps every mail, and notes every password that it was shown."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass(frozen=True)
class Received:
    """One mail as it came."""

    sender: str
    to: list[str]
    encrypted: bool
    message: EmailMessage


@dataclass
class MailServer:
    """`logins` are user and password as shown, right or wrong."""

    port: int = 0
    mails: list[Received] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    password: str = "right"
    refused: set[str] = field(default_factory=set)  # receivers
    answer: str = "250 OK"  # to a mail

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == self.password, handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            message = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
            encrypted = server.transport.get_extra_info("sslcontext") is not None
            self.mails.append(Received(envelope.mail_from, envelope.rcpt_tos, encrypted, message))
        return self.answer


@asynccontextmanager
async def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[MailServer]:
    """A server on a port of its own. `login`: takes passwords, in clear too, and no mail without one."""
    mails = MailServer()
    connections: list[SMTP] = []

    def connect() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it takes passwords in clear, so that a test can see whether any come
            connections.append(
                SMTP(
                    mails,
                    hostname="localhost",
                    tls_context=starttls,
                    authenticator=mails.authenticate if login else None,
                    auth_required=login,
                    auth_require_tls=False,
                    loop=asyncio.get_running_loop(),
                )
            )
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0, ssl=tls)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        server.close()
        for connection in connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        await server.wait_closed()
