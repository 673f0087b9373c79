"""Requests to a sidecar's HTTP API on one connection, and what it refuses."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any, Optional, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from gridsidecar_sdk.encoding import to_json

LOOKS = (0.1, 0.2, 0.5, 1.0)  # seconds between looks at what is waited for; the last one stays
AGAIN = (502, 503, 504)  # statuses of what passes


class ApiError(Exception):
    """The server refused a request. `kind` names why for programs (`unknown-task`, `wrong-state`, …), `state` is the
    task's where that is the reason."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"))
        self.status = status
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.state: Optional[str] = problem.get("state")
        self.problem = dict(problem)


class Unreachable(Exception):
    """The server does not answer, or not with what it should."""


class Api:
    """One connection, which is opened anew when it is lost. For many threads, one after the other."""

    def __init__(self, url: str, *, token: Optional[str] = None, timeout: float = 30.0) -> None:
        """`url` is that of `http.listen` or of a proxy, with its base path; `timeout` in seconds, of each request."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// address")
        self._base = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, Any]] = None,
        query: Optional[Mapping[str, Any]] = None,
    ) -> dict[str, Any]:
        target = self._base + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        headers, payload = dict(self._headers), None
        if body is not None:
            headers["Content-Type"], payload = "application/json", to_json(body)
        with self._lock:
            try:
                status, answer = self._sent(method, target, payload, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise Unreachable(f"{self._connection.host}:{self._connection.port}: {error}") from error
        try:
            said = json.loads(answer)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Unreachable(f"{self._connection.host}:{self._connection.port} answers {status}, and not with JSON")
        if status >= 400:
            raise ApiError(status, said)
        return said

    def _sent(
        self, method: str, target: str, payload: Optional[bytes], headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """A connection that was kept may have been closed meanwhile: then once more on a new one. All that is asked may
        be asked twice."""
        kept = self._connection.sock is not None
        try:
            self._connection.request(method, target, payload, headers)
            response = self._connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            self._connection.close()
            if not kept:
                raise
            self._connection.request(method, target, payload, headers)
            response = self._connection.getresponse()
        return response.status, response.read()


class Waited(Protocol):
    """What is waited for."""

    @property
    def ended(self) -> bool: ...


T = TypeVar("T", bound=Waited)


def when_ended(
    what: str,
    look: Callable[[], Optional[T]],
    state: Callable[[T], object],
    timeout: Optional[float],
    on_progress: Optional[Callable[[T], None]],
) -> T:
    """Look at it (None: not there, yet) until it has ended. `on_progress` hears of each change of its `state`. Raises
    `TimeoutError` after so many seconds; a server that is away is waited for until then."""
    until = None if timeout is None else time.monotonic() + timeout
    seen: object = None
    for pause in chain(LOOKS, repeat(LOOKS[-1])):
        with contextlib.suppress(Unreachable):
            found = look()
            if found is not None:
                if state(found) != seen and on_progress is not None:
                    on_progress(found)
                seen = state(found)
                if found.ended:
                    return found
        if until is not None and time.monotonic() + pause > until:
            break
        time.sleep(pause)
    raise TimeoutError(f"the {what} has not ended within {timeout:g} s")


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
