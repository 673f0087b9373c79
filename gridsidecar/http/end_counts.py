"""What ended, by type, outcome and error: of an hour or of a week, from the counters by the minute."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.answer_cache import max_age_of
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, any_text
from gridsidecar.operations.shapes import tally_object
from gridsidecar.store.minutes import KEPT
from gridsidecar.wire.moments import moment_of

MOST = 500  # the most frequent


async def end_counts(api: Api, call: Call) -> Response:
    call.only("since", "until", "queue", "type")
    now = api.clock.now()
    until = min(call.one("until", partial(moment_of, now=now)) or now, now)
    since = max(call.one("since", partial(moment_of, now=now)) or until - timedelta(hours=1), now - KEPT)
    queue, task_type = call.one("queue", any_text), call.one("type", any_text)
    store = await api.store()

    async def read() -> list[dict[str, Any]]:
        return [
            tally_object(one) for one in await store.minutes.between(since, until, queue=queue, task_type=task_type)
        ]

    found = await api.cache.get(call.asked, max_age_of(until - since), read)
    return answer({"ended": found[:MOST], "more": len(found) > MOST})


ENDPOINTS = (Endpoint("GET", "/v1/stats/ended", Access.READ, end_counts, polled=True),)
