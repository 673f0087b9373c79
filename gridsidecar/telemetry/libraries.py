"""What libraries log about themselves, for whoever can say it in our words."""

from __future__ import annotations

import logging
from collections.abc import Callable


def hear(library: str, tell: Callable[[str], None]) -> None:
    """From now on each warning of this library is told so, and nowhere else."""
    log = logging.getLogger(library)
    log.handlers[:] = [_Ear(tell)]
    log.propagate = False


class _Ear(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(" ".join(record.getMessage().split()))
