"""Requests to the API, and what its problems mean: the errors that store and broker would raise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from gridsidecar.config.secrets import masked_text
from gridsidecar.errors import AccessRefused, GridSidecarError, StoreUnavailable, UsageError
from gridsidecar.outbound.http_session import HttpAnswer, HttpSession
from gridsidecar.outbound.reply import NotSent

TIMEOUT = 60.0  # seconds for one answer
TOKEN = "GRIDSIDECAR_HTTP_TOKEN"  # noqa: S105  # the variable that holds it
PROBLEM = "urn:gridsidecar:problem:"


class ApiRefused(GridSidecarError):
    """A problem that the caller may know a better word for: `kind` names it, `state` is the task's."""

    def __init__(self, kind: str, detail: str, state: str | None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.state = state


class Requests:
    """Raises `StoreUnavailable` while the server, or one behind it, is away."""

    def __init__(self, url: str, token: str | None) -> None:
        """TargetRefused where that is no URL."""
        self.place = masked_text(url.rstrip("/"))
        headers = {"accept": "application/json"}
        if token is not None and not token.isascii():
            raise UsageError(f"{TOKEN} holds characters that no token of an API has")
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._session = HttpSession(url, headers)

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """A list is given as a parameter that comes several times."""
        given = {name: value for name, value in query.items() if value is not None}
        with _only_text():
            asked = path + (f"?{urlencode(given, doseq=True)}" if given else "")
        return await self._ask("GET", asked, None)

    async def found(self, path: str, *, unless: str, **query: Any) -> dict[str, Any] | None:
        """None where the problem is of this kind."""
        try:
            return await self.get(path, **query)
        except ApiRefused as refused:
            if refused.kind != unless:
                raise
            return None

    async def post(
        self, path: str, body: Mapping[str, Any] | bytes | None = None, *, limit: float = TIMEOUT
    ) -> dict[str, Any]:
        """A body in bytes is JSON already. `limit`: seconds, for what a server answers when all is done."""
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return await self._ask("POST", path, raw, limit)

    async def _ask(self, method: str, path: str, body: bytes | None, limit: float = TIMEOUT) -> dict[str, Any]:
        try:
            answer = await self._session.ask(method, path, body, limit)
        except NotSent as error:
            raise StoreUnavailable(f"the API at {self.place} is away: {error}") from error
        said = _object(answer)
        if said is None:
            raise AccessRefused(
                f"what answers at {self.place} with {answer.status} is not the API: --server is the address of "
                "http.listen, with http.base_path where a proxy has one"
            )
        if answer.status >= 400:
            raise self._error(f"{method} {path.partition('?')[0]}", answer.status, said)
        return said

    def _error(self, asked: str, status: int, problem: Mapping[str, Any]) -> GridSidecarError:
        kind = str(problem["type"]).removeprefix(PROBLEM)
        detail = str(problem.get("detail", kind))
        match kind:
            case "token" | "read-only-token":
                return AccessRefused(f"the API at {self.place}: {detail} ({TOKEN} holds the token that is sent)")
            case "unknown-path" | "method":
                return AccessRefused(
                    f"the API at {self.place} has no {asked}: it is of an earlier version, or its base path is missing"
                )
            case "unavailable" | "too-many-streams":
                return StoreUnavailable(f"the API at {self.place}: {detail}")
            case "bad-request" | "too-large" | "too-slow":
                return UsageError(f"the API at {self.place}: {detail}")
        if status in (403, 421, 500, 502):
            return AccessRefused(f"the API at {self.place}: {detail}")
        return ApiRefused(kind, detail, problem.get("state"))


def quoted(name: str) -> str:
    """A name as one part of a path. UsageError where it is no text."""
    with _only_text():
        return quote(name, safe="")


@contextmanager
def _only_text() -> Iterator[None]:
    """A command line may hold any bytes."""
    try:
        yield
    except UnicodeEncodeError:
        raise UsageError("an API takes no such value: it is not UTF-8") from None


def _object(answer: HttpAnswer) -> dict[str, Any] | None:
    """What an API of ours may say: an object, and with an error's status a problem of ours."""
    if answer.kind not in ("application/json", "application/problem+json") or 300 <= answer.status < 400:
        return None
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    ours = answer.status < 400 or str(said.get("type", "")).startswith(PROBLEM)
    return said if ours else None
