"""What the caller may do, and who answers."""

from __future__ import annotations

from starlette.responses import Response

from gridsidecar import __version__
from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.runtime.health import readyz


async def me(api: Api, call: Call) -> Response:
    call.only()
    _, reasons = readyz(api.shown.health())
    return answer(
        {
            "may_change": api.rules.may_change(call.request.headers),
            "token": api.rules.has_token,
            "version": __version__,
            "queue": api.settings.broker.queue,
            "worker": api.works,
            "not_ready": reasons,
        }
    )


ENDPOINTS = (Endpoint("GET", "/v1/me", Access.READ, me),)
