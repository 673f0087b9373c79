"""A custom bot as Feishu runs it: checks signature, time and size, and says in the body what it thinks of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.web import Connection, Request, reply

MOST_BYTES = 20_000


@dataclass
class Bot:
    """`cards` are those that it took, `arrivals` the moments at which it did (monotonic seconds)."""

    secret: str | None = None
    cards: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    async def answer(self, request: Request, connection: Connection) -> None:
        problem = self._problem(request)
        if problem is None:
            self.cards.append(request.json["card"])
            self.arrivals.append(time.monotonic())
        said = problem or {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}
        await reply(200, {"Content-Type": "application/json"}, json.dumps(said).encode())(request, connection)

    def _problem(self, request: Request) -> dict[str, Any] | None:
        message = request.json
        if len(request.body) > MOST_BYTES or message.get("msg_type") != "interactive":
            return {"code": 9499, "msg": "Bad Request", "data": {}}
        if self.secret is not None:
            stamp = message.get("timestamp", "0")
            sign = hmac.new(f"{stamp}\n{self.secret}".encode(), digestmod=hashlib.sha256).digest()
            if abs(time.time() - int(stamp)) > 3600 or base64.b64encode(sign).decode() != message.get("sign"):
                return {"code": 19021, "msg": "sign match fail or timestamp is not within one hour from current time"}
        return None


def title(card: dict[str, Any]) -> str:
    return str(card["header"]["title"]["content"])


def shown(card: dict[str, Any]) -> str:
    """All that people read below the title, element by element."""
    return "\n".join(_text(element) for element in card["elements"])


def _text(element: dict[str, Any]) -> str:
    match element["tag"]:
        case "hr":
            return "--"
        case "markdown" | "plain_text":
            return str(element["content"])
        case "div":
            parts = [element["text"]] if "text" in element else [part["text"] for part in element["fields"]]
            return "\n".join(_text(part) for part in parts)
        case unknown:
            raise AssertionError(f"Feishu may not know {unknown!r}")
