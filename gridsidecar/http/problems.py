"""What went wrong with a request, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gridsidecar.http.answers import answer

_TITLES = {
    400: "Bad request",
    401: "No valid token",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Not JSON",
    421: "Unknown host",
    422: "Not a task",
    431: "Too large",
    500: "Error",
    502: "A server refused",
    503: "Unavailable",
}


class Problem(Exception):
    """Ends a request. `slug` names the kind of problem for programs, `detail` says what to do about it for people;
    `more` are further members, such as `state` and `allowed`."""

    def __init__(
        self, status: int, slug: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> Response:
        body = {
            "type": f"urn:gridsidecar:problem:{self.slug}",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return answer(body, self.status, headers=self.headers, media_type="application/problem+json")


def bad_request(detail: str, **more: Any) -> Problem:
    return Problem(400, "bad-request", detail, **more)


def unknown_task(task_id: str) -> Problem:
    detail = f"There is no task {task_id}; one appears when it is submitted here, or else when a worker takes it up."
    return Problem(404, "unknown-task", detail)


def unavailable(detail: str, retry_after: int = 5) -> Problem:
    """A server behind this one is away; asking again in so many seconds may help."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after)})
