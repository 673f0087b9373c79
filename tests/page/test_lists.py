"""Lists of tasks: wide ones on a narrow screen, their times, and those of a night."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page.conftest import Fleet, opened, until
from tests.support.place import TASKS

SUMMER, WINTER = datetime(2026, 7, 1, 10, tzinfo=UTC), datetime(2026, 1, 15, 10, tzinfo=UTC)
NIGHT = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def tasks(fleet: Fleet) -> None:
    """Some that are long over."""
    at = {"summer": SUMMER, "winter": WINTER}
    at |= {f"night-{number}": NIGHT + timedelta(hours=number) for number in range(12)}
    rows = [(name, name.partition("-")[0], f"{moment:%Y-%m-%d %H:%M:%S}.000") for name, moment in at.items()]
    with closing(sqlite3.connect(fleet.database, timeout=20)) as file, file:
        file.executemany(
            f"INSERT INTO {TASKS} (id, task_type, status, queue, created_at, updated_at) "
            "VALUES (?1, ?2, 'failed', 'pictures', ?3, ?3)",
            rows,
        )


# -- wider than the screen --------------------------------------------------------------------------------------------


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    with opened(browser, viewport={"width": 375, "height": 740}) as tab:
        yield tab


def edge(tab: Page, box: Locator, *, right: bool) -> bytes:
    """A picture of the box's edge, without what it holds."""
    place = box.bounding_box()
    assert place is not None
    left = place["x"] + place["width"] - 13 if right else place["x"] + 2
    return tab.screenshot(clip={"x": left, "y": place["y"] + 8, "width": 10, "height": 20})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_table_that_is_cut_shows_where_it_goes_on(fleet: Fleet, phone: Page, theme: str) -> None:
    phone.emulate_media(color_scheme=theme)
    phone.goto(f"{fleet.url}/#/tasks?type=night")
    expect(phone.locator("tbody tr")).to_have_count(12)
    box = phone.get_by_role("region", name="Tasks", exact=True)
    box.evaluate("one => { one.scrollIntoView(); one.firstChild.style.visibility = 'hidden'; }")
    at_first = [edge(phone, box, right=right) for right in (False, True)]
    box.focus()
    box.evaluate("one => { one.style.outline = 'none'; }")
    for _ in range(60):  # the keyboard moves it
        phone.keyboard.press("ArrowRight")
    until(lambda: box.evaluate("one => one.scrollLeft + one.clientWidth >= one.scrollWidth - 1"), "its end is seen")
    until(lambda: edge(phone, box, right=False) != at_first[0], "there is more on the left")
    until(lambda: edge(phone, box, right=True) != at_first[1], "and nothing more on the right")


def test_a_table_that_is_seen_whole_has_no_such_edge(fleet: Fleet, tab: Page) -> None:
    tab.goto(f"{fleet.url}/#/tasks?type=night")
    box = tab.get_by_role("region", name="Tasks", exact=True)
    expect(box).to_have_class("scroll")
    tab.set_viewport_size({"width": 375, "height": 740})
    expect(box).to_have_class("scroll after")
    tab.set_viewport_size({"width": 1360, "height": 860})
    expect(box).to_have_class("scroll")


def test_how_far_tasks_are_is_seen_at_once_on_a_phone(fleet: Fleet, phone: Page) -> None:
    fleet.submit("report-2026-10-europe", "slow")
    fleet.has("report-2026-10-europe", "running")
    phone.goto(fleet.url)
    place = phone.locator("tr", has_text="report-2026-10-europe").locator(".progress").bounding_box()
    assert place is not None
    assert place["x"] + place["width"] <= 375, place
    fleet.client.post("tasks/report-2026-10-europe/cancel")


# -- times ------------------------------------------------------------------------------------------------------------


def test_an_offset_is_said_once_for_a_list(fleet: Fleet, browser: Browser) -> None:
    """Also where a list holds times of both halves of the year."""
    offsets = {"winter": "+01:00", "summer": "+02:00"}
    with opened(browser, timezone_id="Europe/Berlin") as tab:
        tab.goto(f"{fleet.url}/#/tasks")
        here = tab.evaluate("new Date().getTimezoneOffset()") == -120
        said = offsets["summer" if here else "winter"]
        expect(tab.get_by_role("columnheader", name="Created")).to_have_text(f"Created {said}")
        for name, clock in (("winter", "01-15 11:00:00"), ("summer", "07-01 12:00:00")):
            own = "" if offsets[name] == said else f" {offsets[name]}"
            expect(tab.locator("tr", has_text=name).locator("time")).to_have_text(clock + own)
        tab.goto(f"{fleet.url}/#/task/winter")
        expect(tab.locator(".facts time").first).to_have_text("01-15 11:00:00 +01:00")


def test_tasks_of_a_night(fleet: Fleet, browser: Browser) -> None:
    with opened(browser, timezone_id="Asia/Shanghai") as tab:
        tab.goto(f"{fleet.url}/#/tasks?type=night")
        expect(tab.locator("input[name=from]")).to_have_count(0)
        tab.select_option("select[name=since]", label="between two times")
        tab.fill("input[name=from]", "2026-03-03T08:00")
        tab.fill("input[name=to]", "2026-03-03T12:00")
        tab.click("#range")
        expect(tab.locator("tbody tr")).to_have_count(4)
        asked = parse_qs(tab.url.partition("?")[2])
        assert (asked["since"], asked["until"]) == (["2026-03-03T00:00:00.000Z"], ["2026-03-03T04:00:00.000Z"])
        tab.click("#status-failed")
        expect(tab).to_have_url(re.compile("status=failed"))
        tab.reload()
        expect(tab.locator("input[name=from]")).to_have_value("2026-03-03T08:00")
        expect(tab.locator("input[name=to]")).to_have_value("2026-03-03T12:00")
        expect(tab.locator("label", has=tab.locator("input[name=to]"))).to_contain_text("+08:00")
        expect(tab.locator("tbody tr")).to_have_count(4)
        tab.click("#all-retry")
        expect(tab.locator("dialog")).to_contain_text("Run 4 tasks again?")
        tab.keyboard.press("Escape")
        tab.fill("input[name=to]", "")
        tab.press("input[name=to]", "Enter")
        expect(tab.locator("tbody tr")).to_have_count(11 - 1)
        tab.select_option("select[name=since]", label="last 24h")
        expect(tab.locator("input[name=from]")).to_have_count(0)
        expect(tab.locator("main .empty")).to_contain_text("No task matches")
