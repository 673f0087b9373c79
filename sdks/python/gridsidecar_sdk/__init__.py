"""Task handlers for gridsidecar in Python, and producers that send it tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gridsidecar_sdk.context import Context
from gridsidecar_sdk.errors import Permanent, Retry, Stopped
from gridsidecar_sdk.functions import run, task
from gridsidecar_sdk.processor import TaskHandler, TaskProcessor

if TYPE_CHECKING:
    from gridsidecar_sdk.api import ApiError, Unreachable
    from gridsidecar_sdk.async_producer import AsyncTaskProducer
    from gridsidecar_sdk.bulk import Operation, Preview
    from gridsidecar_sdk.client import TaskClient, TaskInfo
    from gridsidecar_sdk.messages import NotSent
    from gridsidecar_sdk.producer import TaskProducer
    from gridsidecar_sdk.served import TaskApp

__version__ = "0.2.0"
__all__ = [
    "ApiError",
    "AsyncTaskProducer",
    "Context",
    "NotSent",
    "Operation",
    "Permanent",
    "Preview",
    "Retry",
    "Stopped",
    "TaskApp",
    "TaskClient",
    "TaskHandler",
    "TaskInfo",
    "TaskProcessor",
    "TaskProducer",
    "Unreachable",
    "run",
    "task",
]


def __getattr__(name: str) -> Any:
    """Producers, the client and what serves HTTP are loaded when they are asked for: handlers need none of them."""
    if name in ("ApiError", "Operation", "Preview", "TaskClient", "TaskInfo", "Unreachable"):
        from gridsidecar_sdk import api, bulk, client

        return getattr(next(part for part in (api, bulk, client) if hasattr(part, name)), name)
    if name == "TaskProducer":
        from gridsidecar_sdk.producer import TaskProducer

        return TaskProducer
    if name == "AsyncTaskProducer":
        from gridsidecar_sdk.async_producer import AsyncTaskProducer

        return AsyncTaskProducer
    if name == "TaskApp":
        from gridsidecar_sdk.served import TaskApp

        return TaskApp
    if name == "NotSent":
        from gridsidecar_sdk.messages import NotSent

        return NotSent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
