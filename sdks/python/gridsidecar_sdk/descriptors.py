"""The standard descriptors, out of reach of user code and its children."""

from __future__ import annotations

import contextlib
import os
import re


def take_over(number: int, replacement: int) -> int:
    """A private copy of a descriptor, whose place a copy of `replacement` takes."""
    private = os.dup(number)
    os.dup2(replacement, number)
    return private


def take_stdin() -> int:
    """Stdin for us alone; everybody else finds it empty."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return take_over(0, nothing)
    finally:
        os.close(nothing)


def open_events() -> int:
    """Where events go: the pipe that the sidecar offers, or stdout, which is stderr for everybody else then."""
    path = os.environ.pop("GRIDSIDECAR_EVENTS", None)  # children of this process do not inherit the pipe
    if path:
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError:
            pass  # as under another user: stdout carries the marked lines then
        else:
            _hide(path)
            return pipe
    return take_over(1, 2)


def _hide(path: str) -> None:
    match = re.fullmatch(r"/dev/fd/([0-9]+)", path)
    if match:
        with contextlib.suppress(OSError):  # then it was only a path
            os.set_inheritable(int(match[1]), False)
