"""What a signal means to a process that runs handlers: leave, or nothing; never a sudden end with handlers left behind.

What is caught, instead of ignored, has its default meaning again in every program that is started from here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LEAVE = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,  # the terminal is gone
    signal.SIGQUIT,  # Ctrl-\, and what some images and process managers stop with
    signal.SIGPWR,  # what LXC stops a container with
    signal.SIGXCPU,  # SIGKILL is the next
)
# Nobody sends them here on purpose, but for rotating logs or reloading: both come by themselves.
_NOTHING = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGSTKFLT),
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)


def leaving() -> tuple[signal.Signals, ...]:
    """The signals that ask to leave. A SIGHUP that is ignored, as by nohup, stays so."""
    return tuple(
        number for number in _LEAVE if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    )


def obey(leave: Callable[..., object]) -> None:
    """`leave` is called, from anywhere in the main thread, when this process is to leave; but for Ctrl-C, which stays
    as it is. Nothing else that is sent ends it."""
    for number in leaving():
        if number != signal.SIGINT:
            signal.signal(number, leave)
    for other in _NOTHING:
        if signal.getsignal(other) is signal.SIG_DFL:
            signal.signal(other, _do_nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # last: whoever started us may have left some blocked, or waiting


@contextmanager
def blocked() -> Iterator[None]:
    """Those that ask to leave wait meanwhile; for a program that is started inside, until it obeys."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, leaving())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do_nothing(*_: object) -> None:
    pass
