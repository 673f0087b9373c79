"""Cancels and retries of many tasks: what they would do, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from gridsidecar_sdk.api import AGAIN, Api, ApiError, quoted, when_ended

Filter = Mapping[str, Any]
"""`status` (one or a list), `type`, `error_type`, `since`, `until` (`2h`, or a time); or `{"all": True}`."""


@dataclass(frozen=True)
class Preview:
    """What a dry run found: `count` tasks; `tasks` says how many of which `task_type` and `status`, `outcomes` what
    would come of the first of them."""

    count: int
    tasks: list[dict[str, Any]]
    outcomes: dict[str, int]
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Operation:
    """A cancel or retry of many tasks, which goes on whatever dies. `outcomes` counts what came of them; `open` among
    these are still to be done."""

    id: str
    kind: str  # cancel, retry
    state: str  # running, waiting, starting (all is done, the starts are spread), ended, count_changed
    tasks: int
    done: int
    outcomes: dict[str, int]
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        """Nothing is left to be done."""
        return self.state in ("starting", "ended", "count_changed")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Operation:
        return cls(
            id=fields["operation"],
            kind=fields["kind"],
            state=fields["state"],
            tasks=fields["tasks"],
            done=fields.get("done") or 0,
            outcomes=dict(fields.get("outcomes") or {}),
            fields=fields,
        )


class Bulk(Api):
    """Part of `TaskClient`."""

    def preview(self, kind: str, filter: Filter) -> Preview:
        """What a `cancel` or a `retry` of these tasks would do; changes nothing."""
        told = self._ask("POST", f"/v1/tasks/{quoted(kind)}", {"filter": dict(filter), "dry_run": True})
        return Preview(told["count"], told["tasks"], told["outcomes"], told)

    def cancel_many(self, filter: Filter, *, expected_count: int) -> Operation:
        """Cancel all tasks that the filter names, where these are as many as expected; else nothing is done, and this
        is an `ApiError` of kind `count-changed`."""
        return self._many("cancel", {"filter": dict(filter), "expected_count": expected_count})

    def retry_many(self, filter: Filter, *, expected_count: int, over: Optional[str] = None) -> Operation:
        """The same for running them again; `over` (`10m`, `2h`) spreads their starts."""
        asked: dict[str, Any] = {"filter": dict(filter), "expected_count": expected_count}
        return self._many("retry", asked if over is None else {**asked, "over": over})

    def _many(self, kind: str, asked: Mapping[str, Any]) -> Operation:
        return Operation.of(self._ask("POST", f"/v1/tasks/{kind}", asked))

    def operation(self, operation_id: str) -> Operation:
        """`ApiError` of kind `unknown-operation` where there is none: they are kept for a week."""
        return Operation.of(self._ask("GET", _path(operation_id), query={"limit": 0}))

    def operations(self, limit: int = 20) -> list[Operation]:
        """The newest first, without their outcomes."""
        return [Operation.of(one) for one in self._ask("GET", "/v1/operations", query={"limit": limit})["operations"]]

    def operation_results(self, operation_id: str) -> Iterator[tuple[str, Optional[str]]]:
        """Id and outcome of each of its tasks; None is still to be done."""
        query: dict[str, Any] = {}
        while True:
            told = self._ask("GET", _path(operation_id), query=query)
            for one in told["results"]:
                yield one["task_id"], one["outcome"]
            if told["next"] is None:
                return
            query = {"after": told["next"]}

    def wait_operation(
        self,
        operation_id: str,
        timeout: Optional[float] = None,
        on_progress: Optional[Callable[[Operation], None]] = None,
    ) -> Operation:
        """The operation when it has ended; `on_progress` hears of each change that is seen. Raises `TimeoutError` after
        so many seconds; a server that is away is waited for until then."""
        return when_ended(
            f"operation {operation_id}",
            lambda: self._looked_at(operation_id),
            lambda found: (found.state, found.tasks, found.done),
            timeout,
            on_progress,
        )

    def _looked_at(self, operation_id: str) -> Optional[Operation]:
        try:
            return self.operation(operation_id)
        except ApiError as error:
            if error.status not in AGAIN:
                raise
        return None

    def stop_operation(self, operation_id: str) -> None:
        """The tasks that are left stay as they are."""
        self._ask("POST", f"{_path(operation_id)}/stop", {})


def _path(operation_id: str) -> str:
    return f"/v1/operations/{quoted(operation_id)}"
