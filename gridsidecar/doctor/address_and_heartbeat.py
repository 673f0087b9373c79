"""What this machine gives a worker: the address of its API, and the place of its heartbeat."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from functools import partial
from pathlib import Path

from gridsidecar.config.http import HttpSettings
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Diagnostic, Finding, at_once, fail, ok, warn
from gridsidecar.runtime import probe

OURS = b"urn:gridsidecar:problem:"
ANSWER = 4096  # bytes


def checks(settings: Settings) -> list[Diagnostic]:
    """Of what is switched on."""
    found = []
    if settings.http.listen is not None:
        found.append(Diagnostic("http.listen", partial(listen, settings.http)))
    if settings.worker.heartbeat_file is not None:
        found.append(Diagnostic("worker.heartbeat_file", at_once(partial(heartbeat, settings.worker.heartbeat_file))))
    return found


async def listen(http: HttpSettings) -> Finding:
    """Whether the address is free, or a sidecar of ours has it; and who may ask."""
    host, port = http.address
    for name in ("token_file", "read_token_file"):
        file = getattr(http, name)
        if file is not None and not os.access(file, os.R_OK):
            return fail(f"http.{name}: {file} cannot be read", "mount it, or give this user the right")
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return fail(f"{http.listen}: {error.strerror}", "name an address of this machine, and a port above 1023")
        if await _is_ours(host or "127.0.0.1", port):
            return ok(f"{http.listen} is answered by a gridsidecar")
        return fail(f"{http.listen} is taken by another program", "stop that, or name another port in http.listen")
    if not http.has_token:
        return ok(f"{http.listen} is free; without a token everybody on this machine may do everything")
    return ok(f"{http.listen} is free, and a token is asked for")


async def _is_ours(host: str, port: int) -> bool:
    """By the problem that our API makes of a path that is none."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"GET /v1/doctor HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while len(answer) < ANSWER and (part := await reader.read(ANSWER)):
            answer += part
        return OURS in answer
    except OSError:
        return False
    finally:
        writer.close()


def heartbeat(file: str) -> Finding:
    """Whether a worker could write it; and what the one that does says."""
    folder = Path(file).resolve().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail(f"{file} cannot be written: {folder} is missing or not writable", "create it, or give the right")
    if not Path(file).exists():
        return ok(f"{file} is not there: no worker is running, or it has just started")
    code, said = probe.check(file, ready=False)
    if code:
        return warn(said, "a worker removes it at its end: one hangs, was killed, or another machine's clock wrote it")
    return ok(f"{file}: {said}")
