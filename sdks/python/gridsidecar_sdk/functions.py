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
    concurrency: int = 1,
    threads: bool = False,
) -> None:
    """Take one task, or one after the other, as the sidecar says; run its function; report.

    `functions` are those of the decorator where nothing is given. `default` turns what is no JSON in a result into it.
    `concurrency` is the most tasks at once in one process, in persistent mode and as far as the sidecar allows it
    (`persistent.concurrency`): asynchronous functions share the event loop; others need `threads`, and get one each.
    """
    global _running
    table = table_of(functions)
    choose = choose_from(table)
    _check(table, concurrency, threads)
    if _running:
        raise RuntimeError("run() serves all tasks of this process and may be called once")
    if "GRIDSIDECAR" not in os.environ and sys.stdin.isatty():
        command = f"python3 {sys.argv[0]}"
        print(f"This is a gridsidecar handler. Try it: gridsidecar exec --data '{{}}' -- {command}", file=sys.stderr)
        sys.exit(64)
    _running = True
    worker = Worker(choose, Hooks(on_startup, on_shutdown, on_job_start, on_job_end), default, concurrency)
    if os.environ.get("GRIDSIDECAR_MODE") == "persistent":
        worker.serve()
    else:
        worker.once()


def _check(table: Mapping[str, Function], concurrency: int, threads: bool) -> None:
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"concurrency must be a whole number from 1, not {concurrency!r}")
    if concurrency == 1 or threads:
        return
    from gridsidecar_sdk.crowd import is_async

    for task_type, function in table.items():
        if not is_async(function):
            raise TypeError(
                f"the function for {task_type} is not async, so it would hold up all other tasks of its process: "
                "make it async, or say run(…, threads=True) for a thread each"
            )


def table_of(functions: Union[Function, Mapping[str, Function], None]) -> Mapping[str, Function]:
    if functions is None:
        functions = _registered
    table = dict(functions) if isinstance(functions, Mapping) else {"default": functions}
    if not table or not all(callable(function) for function in table.values()):
        raise TypeError("run() needs a function for each task type: run({'resize': resize}), or @task('resize')")
    return table


def choose_from(table: Mapping[str, Function]) -> Callable[[str], Function]:
    def choose(task_type: str) -> Function:
        function = table.get(task_type) or table.get("default")
        if function is None:
            known = ", ".join(sorted(table))
            raise Permanent(f"no function for task type {task_type}; there are {known}", error_type="NoHandler")
        return function

    return choose
