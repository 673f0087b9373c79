"""What `--since` takes for a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gridsidecar.cli.since import moment
from gridsidecar.errors import UsageError

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The person's own clock."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_a_time_ago(text: str, ago: timedelta) -> None:
    assert moment(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 30, 15, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        ("2026-01-31 08:00:01", datetime(2026, 1, 30, 23, 0, 1, tzinfo=UTC)),
        ("2026-01-31T08:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
    ],
)
@pytest.mark.usefixtures("tokyo")
def test_a_day_or_a_moment_by_the_persons_own_clock(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


def test_nothing_is_no_limit() -> None:
    assert moment(None, NOW) is None


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2", "2y", "-2h", "", "9" * 30 + "d", "1e3h", "0001-01-01"]
)
@pytest.mark.usefixtures("tokyo")
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time; write 30m, 2h or 7d"):
        moment(text, NOW)
