"""The mail client: one connection a mail, verified TLS where there is any, a password only over TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from gridsidecar import telemetry
from gridsidecar.config.trust import stand_in
from gridsidecar.outbound import NotSent
from gridsidecar.outbound.resolver import Resolve, Resolver, system_resolve

if TYPE_CHECKING:
    from email.headerregistry import Address
    from email.message import EmailMessage

    from aiosmtplib import SMTP

PORTS = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT = 587  # where mail servers take a login
CLOSE_LIMIT = 1.0  # seconds
ADDRESSES_TRIED = 8
PERMANENT = 500  # answers from here on are meant for good


class Mail(Struct, frozen=True, kw_only=True):
    """One mail in plain text. `message_id` is the same when it is sent again."""

    message_id: str
    moment: datetime
    sender: str  # an address, or a name and an <address>
    to: Sequence[str]
    subject: str
    text: str


class ReceiversRefused(NotSent):
    """The server works, and takes the mail for none of its receivers. `final`: another try cannot help."""

    def __init__(self, message: str, answer: str, final: bool) -> None:
        super().__init__(message)
        self.answer = answer
        self.final = final


class MailClient:
    """Sends to one server: smtp:// with STARTTLS where it is offered, or smtps://, with user:password if need be."""

    def __init__(self, url: str, timeout: float, *, resolve: Resolve = system_resolve) -> None:
        parts = urlsplit(url)
        self._tls_first = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._port = parts.port or (SUBMISSION_PORT if self._user and not self._tls_first else PORTS[parts.scheme])
        self._timeout = timeout  # seconds, for everything until the server has taken the mail
        self._resolver = Resolver(resolve)

    async def send(self, mail: Mail) -> None:
        """Return when the server has taken it for at least one receiver. Raises `NotSent`."""
        from aiosmtplib import SMTPException, SMTPRecipientsRefused

        server = f"{self._host}:{self._port}"
        client = self._client()
        try:
            message = composed(mail)
            async with asyncio.timeout(self._timeout):
                await self._connect(client)
                await self._log_in(client)
                refused, _ = await client.send_message(message)
            await _quit(client)
        except TimeoutError:
            raise NotSent(f"mail server {server}: no answer within {self._timeout:g} s") from None
        except SMTPRecipientsRefused as error:
            final = all(refused.code >= PERMANENT for refused in error.recipients)
            raise ReceiversRefused(f"mail server {server}: {_told(error)}", _told(error), final) from error
        except (SMTPException, OSError, ValueError) as error:
            raise NotSent(f"mail server {server}: {_told(error)}") from error
        finally:
            client.close()
        for address, answer in refused.items():
            telemetry.warning("the mail server refused a receiver", to=address, reason=answer.message)

    def _client(self) -> SMTP:
        from aiosmtplib import SMTP

        return SMTP(
            hostname=self._host,  # that of its certificate
            use_tls=self._tls_first,
            timeout=self._timeout,
            tls_context=stand_in(),
            local_hostname=socket.gethostname(),  # the library would ask the name server, without a limit
        )

    async def _connect(self, client: SMTP) -> None:
        """By a socket of ours: the library would have the loop look the name up, in threads that others need."""
        connected = await self._socket()
        try:
            await client.connect(sock=connected)
        except BaseException:
            connected.close()
            raise

    async def _socket(self) -> socket.socket:
        """Connected to the first of the host's addresses that takes us. Raises OSError, and NotTried."""
        addresses = (await self._resolver.addresses(self._host))[:ADDRESSES_TRIED]
        failure = OSError(f"{self._host} has no address")
        for address in addresses:
            try:
                async with asyncio.timeout(self._timeout / (len(addresses) + 1) if len(addresses) > 1 else None):
                    return await _connected(address, self._port)
            except OSError as error:  # a TimeoutError too
                failure = error
        raise failure

    async def _log_in(self, client: SMTP) -> None:
        if not self._user:
            return
        if client.get_transport_info("sslcontext") is None:
            raise ValueError("it offers no TLS, and a password is never sent in clear: use smtps://, or leave it out")
        await client.login(self._user, self._password)


async def _connected(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


def composed(mail: Mail) -> EmailMessage:
    """The mail with its headers. ValueError for an address that is none, and for a line break in a header."""
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = mail.moment
    message["Message-ID"] = f"<{mail.message_id}@gridsidecar>"
    message["Auto-Submitted"] = "auto-generated"
    for header in ("From", "To"):
        for address in _addresses(message[header]):
            if not address.username or not address.domain:
                raise ValueError(f"{address} in {header} is no mail address")
    message.set_content(mail.text, cte="quoted-printable")
    return message


def _addresses(header: Any) -> Sequence[Address]:
    found: Sequence[Address] = header.addresses
    return found


def _told(error: Exception) -> str:
    """What went wrong, on one line, with the server's own words."""
    first = (*getattr(error, "recipients", ()), error)[0]  # where every receiver was refused: the first one's reason
    message = getattr(first, "message", None) or str(first) or type(first).__name__
    message = message.replace(" on port None", "")  # which is what the library calls that of a socket of ours
    return " ".join(f"{getattr(first, 'code', '')} {message}".split())


async def _quit(client: SMTP) -> None:
    """Say goodbye: the mail is on its way whatever comes of that."""
    from aiosmtplib import SMTPException

    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_LIMIT):
            await client.quit()
