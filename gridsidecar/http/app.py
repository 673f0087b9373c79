"""The ASGI application: its routes, who may call them, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gridsidecar import telemetry
from gridsidecar.errors import AccessRefused, GridSidecarError, Unavailable
from gridsidecar.http.access import Access
from gridsidecar.http.api import Api
from gridsidecar.http.call import Call
from gridsidecar.http.limits import HEADER_LIMIT
from gridsidecar.http.problems import Problem, bad_request, unavailable
from gridsidecar.store import RowRejected

SLACK = 16 * 1024  # bytes of a body around what a message may have


class Endpoint(Struct, frozen=True):
    """What answers one method of one path."""

    method: str
    path: str
    access: Access
    answer: Callable[[Api, Call], Awaitable[Response]]
    polled: bool = False  # it is the same for all who may read it, and asked for again and again

    @property
    def acts(self) -> bool:
        """It changes what is there. A new task does not: programs submit many a second."""
        return self.access is Access.CHANGE and self.path != "/v1/tasks"


def make_app(api: Api, endpoints: Sequence[Endpoint]) -> ASGIApp:
    """Paths are matched as they were sent: an encoded slash is a part of a name."""
    routes = [_route(api, path, _by_method(endpoints, path)) for path in dict.fromkeys(one.path for one in endpoints)]
    router = Router(routes, redirect_slashes=False, default=_not_found)
    base = api.settings.http.base_path

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if _head_size(scope) > HEADER_LIMIT:
            await _TOO_LARGE.response()(scope, receive, send)
            return
        path = scope.get("raw_path", b"").decode("ascii", "replace")
        if base and path == base:  # what the page names is relative to it
            await RedirectResponse(f"{base.rpartition('/')[2]}/")(scope, receive, send)
            return
        if base and path.startswith(f"{base}/"):  # a proxy may have taken it away already
            path = path.removeprefix(base)
        await router({**scope, "path": path, "root_path": ""}, receive, send)

    return app


_TOO_LARGE = Problem(
    431,
    "headers-too-large",
    f"Path, query and headers have more than {HEADER_LIMIT:,} bytes.",
    headers={"Connection": "close"},
)


def _head_size(scope: Scope) -> int:
    """Bytes of path, query and headers: those that come in one piece are read whole, whatever they have."""
    first = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    return first + sum(len(name) + len(value) + 4 for name, value in scope.get("headers", ()))


def _by_method(endpoints: Sequence[Endpoint], path: str) -> dict[str, Endpoint]:
    found = {one.method: one for one in endpoints if one.path == path}
    return {"HEAD": found["GET"], **found} if "GET" in found else found


def _route(api: Api, path: str, by_method: Mapping[str, Endpoint]) -> Route:
    async def respond(request: Request) -> Response:
        try:
            endpoint = by_method.get(request.method)
            # One that is not there is told to whoever may read.
            access = Access.READ if endpoint is None else endpoint.access
            api.rules.check(access, request.method, request.headers)
            if endpoint is None:
                raise _no_such_method(by_method, request)
            call = Call(request, api.settings.broker.max_message_bytes + SLACK)
            if endpoint.polled:
                return await api.snapshots.answer(request, partial(endpoint.answer, api, call))
            answered = await endpoint.answer(api, call)
            if endpoint.acts:
                api.acted()
            return answered
        except Exception as error:
            return problem_of(error).response()

    return _Path(path, respond, methods=list(by_method))


class _Path(Route):
    """Where no path takes a method, ours answers that, as a problem."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def problem_of(error: Exception) -> Problem:
    """What a client hears of an error."""
    match error:
        case Problem():
            return error
        case RowRejected():
            return bad_request(f"The database takes no such value: {error}")
        case Unavailable():
            return unavailable(str(error))
        case AccessRefused():
            return Problem(502, "refused", str(error))
        case GridSidecarError():
            return Problem(409, "refused", str(error))
    telemetry.unexpected_error(error)
    return Problem(500, "error", "An error that no rule covers; the server's log has its traceback.")


def _no_such_method(by_method: Mapping[str, Any], request: Request) -> Problem:
    allowed = ", ".join(sorted(by_method))
    detail = f"{request.method} is not for this path; there are {allowed}."
    return Problem(405, "method", detail, headers={"Allow": allowed})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(404, "unknown-path", "There is nothing at this path; /v1/openapi.yaml has those that are.")
    await problem.response()(scope, receive, send)
