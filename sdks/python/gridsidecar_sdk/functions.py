"""Functions by task type, and the call that serves them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Callable, TypeVar, Union

from gridsidecar_sdk.encoding import Default
from gridsidecar_sdk.errors import Permanent
from gridsidecar_sdk.worker import Function, Hook, Hooks, Worker

F = TypeVar("F", bound=Callable[..., Any])
_registered: dict[str, Function] = {}
_running = False


def task(task_type: str = "default") -> Callable[[F], F]:
    """Decorator: the function `(ctx, data)` that does tasks of this type; `default` takes what no other does."""

    def register(function: F) -> F:
        _registered[task_type] = function
        return function

    return register


def run(
    functions: Union[Function, Mapping[str, Function], None] = None,
    *,
    on_startup: Hook = None,
    on_shutdown: Hook = None,
    on_job_start: Hook = None,
    on_job_end: Hook = None,
    default: Default = None,
) -> None:
    """Take one task, or one after the other, as the sidecar says; run its function; report.

    `functions` are those of the decorator where nothing is given. `default` turns what is no JSON in a result into it.
    """
    global _running
    choose = _chooser(functions)
    if _running:
        raise RuntimeError("run() serves all tasks of this process and may be called once")
    if "GRIDSIDECAR" not in os.environ and sys.stdin.isatty():
        command = f"python3 {sys.argv[0]}"
        print(f"This is a gridsidecar handler. Try it: gridsidecar exec --data '{{}}' -- {command}", file=sys.stderr)
        sys.exit(64)
    _running = True
    worker = Worker(choose, Hooks(on_startup, on_shutdown, on_job_start, on_job_end), default)
    if os.environ.get("GRIDSIDECAR_MODE") == "persistent":
        worker.serve()
    else:
        worker.once()


def _chooser(functions: Union[Function, Mapping[str, Function], None]) -> Callable[[str], Function]:
    if functions is None:
        functions = _registered
    table = dict(functions) if isinstance(functions, Mapping) else {"default": functions}
    if not table or not all(callable(function) for function in table.values()):
        raise TypeError("run() needs a function for each task type: run({'resize': resize}), or @task('resize')")

    def choose(task_type: str) -> Function:
        function = table.get(task_type) or table.get("default")
        if function is None:
            known = ", ".join(sorted(table))
            raise Permanent(f"no function for task type {task_type}; there are {known}", error_type="NoHandler")
        return function

    return choose
