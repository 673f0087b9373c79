"""Checkpoints, end to end: a long job goes on where it was, whatever ended the attempt before."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "resumable"
PAGES = 40


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder


def config(place: Place, **handler: Any) -> dict[str, Any]:
    """The example's own, for this place."""
    example = yaml.safe_load((EXAMPLE / "config.yaml").read_text())
    example["handlers"]["default"] |= {"command": [sys.executable, str(EXAMPLE / "handler.py")], **handler}
    own = place.config(example["handlers"], worker={"lease": 1}, retry=example["retry"] | {"delay": 0})
    return own | {"progress_interval": 0.1}


async def begin(place: Place, pages: Path, *, retries: int = 5, pace: float = 0.05) -> None:
    """`pace`: seconds a page."""
    data = {"pages": PAGES, "folder": str(pages), "seconds_a_page": pace}
    await place.publish({"task_id": "book", "data": data, "max_retry_count": retries})
    await eventually(lambda: json.loads(place.row("book").get("checkpoint") or "{}").get("next", 0) > 5)


async def assert_went_on(place: Place, pages: Path, attempts: int = 2) -> None:
    await eventually(lambda: place.status("book") in ("success", "failed"), timeout=60)
    row = place.row("book")
    assert row["status"] == "success", row
    result = json.loads(row["result"])
    assert result["started_at_page"] > 5
    assert row["attempt"] == attempts
    assert row["checkpoint"] is None
    authors = [(pages / f"page-{page}.txt").read_text().split()[-1] for page in range(1, PAGES + 1)]
    before = result["started_at_page"] - 1
    assert authors == ["1"] * before + [str(attempts)] * (PAGES - before)


async def test_it_goes_on_after_the_whole_sidecar_was_killed(any_place: Place, start: Start, pages: Path) -> None:
    sidecar = start(config(any_place))
    await begin(any_place, pages)
    sidecar.die()
    start(config(any_place))
    await assert_went_on(any_place, pages)


async def test_it_goes_on_after_a_shutdown(place: Place, start: Start, pages: Path) -> None:
    sidecar = start(config(place) | {"worker": {"shutdown_grace": 0}})
    await begin(place, pages)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    start(config(place))
    await assert_went_on(place, pages)


async def test_it_goes_on_after_a_timeout(place: Place, start: Start, pages: Path) -> None:
    start(config(place, timeout=3))
    await begin(place, pages, pace=0.12)
    await eventually(lambda: place.status("book") in ("success", "failed"), timeout=60)
    row = place.row("book")
    assert (row["status"], row["retry_count"]) == ("success", row["attempt"] - 1)
    assert row["attempt"] > 1
    assert json.loads(row["result"])["started_at_page"] > 5


async def test_a_retry_by_hand_goes_on_from_it(place: Place, start: Start, pages: Path) -> None:
    sidecar = start(config(place, timeout=3))
    await begin(place, pages, retries=0, pace=0.12)
    await eventually(lambda: place.status("book") == "failed")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert await place.retry("book") is not None
    place.execute(
        "update grid_async_task_tasks set next_check_at = '2001-01-01' where id = ?", "book"
    )  # nobody sends the wake-up
    start(config(place))
    await assert_went_on(place, pages)


async def test_one_too_large_is_refused_and_the_one_before_stays(place: Place, start: Start) -> None:
    script = (
        """echo '{"gs":1,"type":"checkpoint","data":"small"}'; """
        """printf '{"gs":1,"type":"checkpoint","data":"%070000d"}\\n' 1; exit 65"""
    )
    start(place.config({"default": place.handler("/bin/sh", "-c", script)}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed")
    assert place.row("t")["checkpoint"] == '"small"'
    assert "the checkpoint has 70002 bytes, more than 65536" in place.attempts("t")[0]["log_head"]
