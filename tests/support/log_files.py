"""What a log file has, compared with what stderr had."""

from __future__ import annotations

import re

_DATED = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d\.\d{3})Z", re.MULTILINE)


def as_on_stderr(kept: str) -> str:
    """The same lines without their dates, which stderr's have not."""
    return _DATED.sub(r"\1", kept)
