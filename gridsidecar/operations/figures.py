"""How many tasks are where, what is owed, and who works on it: the figures that people ask for first."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from gridsidecar.operations.shapes import in_utc
from gridsidecar.store import Store
from gridsidecar.store.counting import totals

if TYPE_CHECKING:
    from gridsidecar.views import Figures

_NO_CALLBACKS = {"owed": 0, "dead": 0, "delivered": 0}
NONE: Figures = {
    "tasks": [],
    "statuses": {},
    "at_least": [],
    "callbacks": _NO_CALLBACKS,
    "callbacks_at_least": [],
    "letters": _NO_CALLBACKS,
    "letters_at_least": [],
    "workers": [],
    "pauses": [],
}


async def read_figures(store: Store, since: datetime | None = None, queue: str | None = None) -> Figures:
    """Of one queue, or of all that share the table: tasks created since then by type and status, and by status;
    `at_least` has those whose count is a floor, as `callbacks_at_least` and `letters_at_least` have theirs. Callbacks
    and `letters` (what failed tasks owe to the dead letters) of all queues, workers, pauses. Raises what the store
    raises."""
    types = await store.counting.by_type(since, queue)
    statuses = await store.counting.by_status(since) if queue is None else totals(types)
    callbacks, letters = await store.reading.callback_counts()
    return {
        "tasks": [
            {
                "task_type": one.task_type,
                "status": one.status.value,
                "count": one.count.n,
                "at_least": one.count.at_least,
                "seconds": one.seconds,
            }
            for one in types
        ],
        "statuses": {status.value: count.n for status, count in statuses.items()},
        "at_least": [status.value for status, count in statuses.items() if count.at_least],
        "callbacks": callbacks.counts,
        "callbacks_at_least": callbacks.at_least,
        "letters": letters.counts,
        "letters_at_least": letters.at_least,
        "workers": [in_utc(one) for one in await store.reading.workers() if queue in (None, one["queue"])],
        "pauses": [in_utc(one) for one in await store.reading.pauses() if queue in (None, one["queue"])],
    }
