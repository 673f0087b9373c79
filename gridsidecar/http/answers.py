"""JSON answers: any value that a database may hold, readable in every language."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(
    value: Any,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    line = json_bytes(value) + b"\n"  # in a terminal the prompt stands below it
    return Response(line, status, {**_ALWAYS, **(headers or {})}, media_type)


def json_bytes(value: Any) -> bytes:
    """UTF-8. What JSON has no word for (NaN, written by another program) becomes null, half a surrogate pair its
    escape."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(_finite(value), default=str).encode()


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
    return value
