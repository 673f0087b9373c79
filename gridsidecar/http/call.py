"""One request as its endpoint reads it: path, query and body, each checked; what is wrong is told by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request

from gridsidecar.http.problems import Problem, bad_request
from gridsidecar.rules.task import Status
from gridsidecar.wire.fields import shown
from gridsidecar.wire.strict_json import JsonRefused, parse_json

T = TypeVar("T")
BODY_TIME = 30.0  # seconds that a client may take to send its body
SWALLOWED = 64 * 1024 * 1024  # bytes beyond the limit: a client that is still sending hears no answer


class Call:
    """What is wrong ends the request with a `Problem`."""

    def __init__(self, request: Request, max_body: int) -> None:
        self.request = request
        self._max_body = max_body
        self._asked: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            self._asked.setdefault(name, []).append(value)

    def path(self, name: str) -> str:
        """A part of the path; it may hold any character, a slash as %2F."""
        try:
            return unquote_to_bytes(self.request.path_params[name]).decode()
        except UnicodeDecodeError:
            raise bad_request(f"The {name} in the path is not UTF-8.") from None

    @property
    def asked(self) -> str:
        """Path and query, as they were sent."""
        return f"{self.request.url.path}?{self.request.url.query}"

    @property
    def polls(self) -> bool:
        """The caller has an answer already, and asks for news."""
        return "if-none-match" in self.request.headers

    # -- query --------------------------------------------------------------------------------------------------------

    def only(self, *names: str) -> None:
        """What nobody reads is a mistake: a misspelt filter must not mean all tasks."""
        for name in self._asked:
            if name not in names:
                allowed = f"; there are {', '.join(names)}" if names else ""
                raise bad_request(f"There is no parameter {shown(name)} here{allowed}.")

    def many(self, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
        """A parameter that may come several times."""
        return tuple(self._read(name, text, read) for text in self._asked.get(name, ()))

    def one(self, name: str, read: Callable[[str], T]) -> T | None:
        given = self._asked.get(name, [])
        if len(given) > 1:
            raise bad_request(f"The parameter {name} may be given once.")
        return self._read(name, given[0], read) if given else None

    def _read(self, name: str, text: str, read: Callable[[str], T]) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise bad_request(f"{name} {shown(text)} {error}.") from None

    # -- body ---------------------------------------------------------------------------------------------------------

    async def body(self) -> bytes:
        """All of it, JSON by its header; `Problem` where it is too large, too slow or something else."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        declared = self.request.headers.get("content-length", "")
        if kind != "application/json" and (declared not in ("", "0") or "transfer-encoding" in self.request.headers):
            raise Problem(415, "not-json", "The body must be JSON, sent with Content-Type: application/json.")
        body = bytearray()
        size = 0
        try:
            async with asyncio.timeout(BODY_TIME):
                async for chunk in self.request.stream():
                    size += len(chunk)
                    if size <= self._max_body:
                        body += chunk
                    elif size > self._max_body + SWALLOWED:
                        break
        except TimeoutError:
            raise Problem(408, "too-slow", f"The body was not there within {BODY_TIME:g} seconds.") from None
        except ClientDisconnect:
            raise bad_request("The body ended early.") from None
        if size > self._max_body:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> Problem:
        detail = f"The body has more than {self._max_body:,} bytes; broker.max_message_bytes sets how many."
        return Problem(413, "too-large", detail, headers={"Connection": "close"})

    async def fields(self, *names: str) -> Members:
        """The members of the body, which is an object or nothing at all; only these may be there."""
        raw = await self.body()
        if not raw.strip():
            return Members({}, "")
        members = Members.of(parsed(raw), "the body")
        members.only(names)
        return members


def parsed(raw: bytes) -> Any:
    try:
        return parse_json(raw.decode("utf-8-sig"), unique=True)
    except UnicodeDecodeError:
        raise bad_request("The body is not UTF-8.") from None
    except JsonRefused as refused:
        raise bad_request(f"The body is not JSON that can be taken: {refused.detail}.") from None


class Members:
    """The members of a JSON object that somebody sent."""

    def __init__(self, values: dict[str, Any], place: str) -> None:
        self._values = values
        self._place = place

    @classmethod
    def of(cls, value: Any, place: str) -> Members:
        if not isinstance(value, dict):
            raise bad_request(f"{place.capitalize()} must be a JSON object, not {shown(value)}.")
        return cls(value, place)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def only(self, names: Sequence[str]) -> None:
        for name in self._values:
            if name not in names:
                raise bad_request(f"There is no {shown(name)} in {self._place}; there are {', '.join(names)}.")

    def object(self, name: str) -> Members | None:
        return Members.of(self._values[name], name) if name in self._values else None

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise bad_request(f"{name} {shown(value)} must be true or false.")
        return value

    def whole(self, name: str) -> int | None:
        if name not in self._values:
            return None
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
            raise bad_request(f"{name} {shown(value)} must be a whole number of at least 0.")
        return int(value)

    def is_null(self, name: str) -> bool:
        """It is there, and says so."""
        return name in self._values and self._values[name] is None

    def text(self, name: str, read: Callable[[str], T]) -> T | None:
        return self._read(name, self._values[name], read) if name in self._values else None

    def texts(self, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
        """One text, or a list of them."""
        if name not in self._values:
            return ()
        value = self._values[name]
        items: list[Any] = value if isinstance(value, list) else [value]
        if not items:
            raise bad_request(f"{name} [] must name at least one.")
        return tuple(self._read(name, item, read) for item in items)

    def _read(self, name: str, value: Any, read: Callable[[str], T]) -> T:
        if not isinstance(value, str):
            raise bad_request(f"{name} {shown(value)} must be text.")
        try:
            return read(value)
        except ValueError as error:
            raise bad_request(f"{name} {shown(value)} {error}.") from None


# -- readers of texts: ValueError says what is allowed ----------------------------------------------------------------


def any_text(text: str) -> str:
    if not 0 < len(text) <= 255:
        raise ValueError("must have 1 - 255 characters")
    return text


def number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least:,} to {most:,}")
        return int(text)

    return read


def flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def a_status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(Status)}") from None
