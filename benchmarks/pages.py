"""Pages that stay open, as far as a server sees them: each asks again so many seconds after it was answered."""

from __future__ import annotations

import heapq
import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

OVERVIEW = {  # seconds; as gridsidecar/http/page/overview.js and main.js have it
    "/v1/stats": 4.0,
    "/v1/tasks?status=running&limit=50": 4.0,
    "/v1/queues": 4.0,
    "/v1/me": 10.0,
    "/v1/stats/series?since=1h&step=1m": 10.0,
    "/v1/stats/ended?since=1h": 10.0,
}
FIGURES = {"/metrics": 1.0, "/v1/stats": 1.0}  # what a monitoring system asks


@contextmanager
def open_pages(url: str, count: int, every: dict[str, float]) -> Iterator[Counter[int]]:
    """So many at once, opened one after the other within a few seconds; how many answers had which status."""
    statuses: Counter[int] = Counter()
    over = threading.Event()
    pages = [
        threading.Thread(target=_page, args=(url, number * 4.0 / count, every, over, statuses))
        for number in range(count)
    ]
    for page in pages:
        page.start()
    try:
        yield statuses
    finally:
        over.set()
        for page in pages:
            page.join()


def _page(url: str, later: float, every: dict[str, float], over: threading.Event, statuses: Counter[int]) -> None:
    """On one connection: the client is to take as little of the machine as it can."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    tags: dict[str, str] = {}
    due = [(time.monotonic() + later, path) for path in every]
    while not over.wait(max(0.0, due[0][0] - time.monotonic())):
        _, path = heapq.heappop(due)
        connection.request("GET", path, headers={"If-None-Match": tags[path]} if path in tags else {})
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
        if tag := response.headers.get("etag"):
            tags[path] = tag
        heapq.heappush(due, (time.monotonic() + every[path], path))
    connection.close()
