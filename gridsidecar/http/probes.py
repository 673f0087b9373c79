"""How this process is, and its figures: for kubelet and Prometheus, which have no token and no name for us."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.metrics.exposition import CONTENT_TYPE, exposed
from gridsidecar.runtime.health import livez, readyz

_FRESH = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def alive(api: Api, call: Call) -> Response:
    """503 for what a restart cures."""
    status, text = livez(api.shown.health())
    return PlainTextResponse(f"{text}\n", status, _FRESH)


async def ready(api: Api, call: Call) -> Response:
    """503 with what keeps us from taking tasks."""
    status, reasons = readyz(api.shown.health())
    return answer({"ready": not reasons, "not_ready": reasons}, status)


async def metrics(api: Api, call: Call) -> Response:
    """The figures of this sidecar; of a server without a worker, those of the fleet."""
    return Response(exposed(await api.shown.metrics()), headers=_FRESH, media_type=CONTENT_TYPE)


ENDPOINTS = (
    *(Endpoint("GET", path, Access.OPEN, alive) for path in ("/livez", "/healthz")),
    Endpoint("GET", "/readyz", Access.OPEN, ready),
    Endpoint("GET", "/metrics", Access.OPEN, metrics),
)
