"""Times as people and programs write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from gridsidecar.outbound.reply import retry_after
from gridsidecar.rules.task import Message, Task
from gridsidecar.wire import decode_task
from gridsidecar.wire.moments import later_of, moment_of, time_of

MIDNIGHT = datetime(2017, 1, 1, tzinfo=UTC)
NOW = datetime(2016, 12, 31, tzinfo=UTC)
LEAP_SECONDS = [
    "2016-12-31T23:59:60Z",
    "2016-12-31 23:59:60+00:00",
    "20161231T235960Z",
    "2017-01-01T08:59:60+09:00",
    "2017-01-01T05:29:60+05:30",
]


@pytest.mark.parametrize("text", LEAP_SECONDS)
def test_a_leap_second_is_the_next_second_wherever_a_time_is_read(text: str) -> None:
    assert time_of(text) == MIDNIGHT
    assert moment_of(text, NOW) == later_of(text, NOW) == MIDNIGHT
    task = decode_task(Message(body=json.dumps({"task_id": "a", "defer_until": text}).encode()), 1000)
    assert isinstance(task, Task)
    assert task.defer_until == MIDNIGHT


def test_a_leap_second_may_have_a_fraction() -> None:
    assert time_of(" 2016-12-31T23:59:60.250Z ") == MIDNIGHT.replace(microsecond=250_000)


def test_a_leap_second_in_a_header_of_http() -> None:
    now = datetime(2016, 12, 31, 23, tzinfo=UTC)
    assert retry_after("Sat, 31 Dec 2016 23:59:60 GMT", now) == pytest.approx(3600, abs=1)


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:60:00Z",
        "2016-12-31T23:58:60Z",
        "2016-12-31T23:59:61Z",
        "2016-12-31T23:59:600Z",
        "9999-12-31T23:59:60Z",
    ],
)
def test_no_other_second_is_too_many(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        time_of(text)
    with pytest.raises(ValueError, match="is no time"):
        moment_of(text, NOW)
