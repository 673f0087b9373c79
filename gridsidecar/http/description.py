"""The API's own description, as it is in `protocol/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.http.problems import Problem

_HERE = Path(__file__)
PLACES = (_HERE.with_name("openapi.yaml"), _HERE.parents[2] / "protocol" / "openapi.yaml")  # installed; a checkout


async def describe(api: Api, call: Call) -> Response:
    """OpenAPI 3.1."""
    call.only()
    return Response(_text(), headers={"X-Content-Type-Options": "nosniff"}, media_type="application/yaml")


@cache
def _text() -> bytes:
    for place in PLACES:
        if place.is_file():
            return place.read_bytes()
    raise Problem(404, "unknown-path", "This installation has no description of the API.")


ENDPOINTS = (Endpoint("GET", "/v1/openapi.yaml", Access.READ, describe),)
