"""What people met in the page's corners: each of it once went wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Fleet, running, until

ADMIN = "admin-0123456789abcdef"


def look_again(tab: Page) -> None:
    """Asks for all at once, as whoever stops the refresh and goes on."""
    tab.click("#live")
    tab.click("#live")


def test_numbers_stay_as_written_also_after_a_search(fleet: Fleet, tab: Page) -> None:
    fleet.submit("exact")
    fleet.has("exact", "success")
    tab.goto(f"{fleet.url}/#/tasks")
    tab.fill("#search", "exact")
    tab.press("#search", "Enter")
    expect(tab.locator("pre", has_text="12345678901234567890")).to_be_visible()


@pytest.mark.parametrize("token", ["令牌", "two words"])
def test_a_token_that_no_header_can_hold_is_a_wrong_one(
    tab: Page, tmp_path_factory: pytest.TempPathFactory, token: str
) -> None:
    with running(tmp_path_factory.mktemp("guarded"), token=ADMIN) as guarded:
        tab.goto(guarded.url)
        tab.fill("#token", token)
        tab.press("#token", "Enter")
        expect(tab.locator("#wrong")).to_be_visible()
        expect(tab.locator(".banner")).to_be_hidden()
        tab.fill("#token", ADMIN)
        tab.press("#token", "Enter")
        expect(tab.locator("#tile-workers .figure")).to_have_text("1")


def test_an_open_overview_hears_why_nothing_is_ready(fleet: Fleet, tab: Page) -> None:
    reasons: dict[str, str] = {}

    def answer(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json=told | {"not_ready": reasons})

    tab.route("**/v1/me", answer)
    tab.goto(fleet.url)
    expect(tab.locator("#tile-workers .figure")).to_have_text("1")
    expect(tab.locator(".notice.bad")).to_have_count(0)
    reasons["broker"] = "it does not answer"
    look_again(tab)
    expect(tab.locator(".notice.bad")).to_contain_text("it does not answer")
    reasons.clear()
    look_again(tab)
    expect(tab.locator(".notice.bad")).to_have_count(0)


def test_an_operation_is_not_asked_for_while_nobody_looks(fleet: Fleet, tab: Page) -> None:
    fleet.submit("again", "again")
    fleet.has("again", "failed")
    asked: list[str] = []
    broken = False

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if broken:
            route.abort()
            return
        told: dict[str, Any] = route.fetch().json()
        route.fulfill(json=told | {"state": "running", "ended_at": None, "done": 0})

    tab.route("**/v1/operations/*", answer)
    tab.goto(f"{fleet.url}/#/tasks?type=again&status=failed")
    tab.click("#all-retry")
    tab.click("dialog button[value=yes]")
    expect(tab.locator(".operation")).to_contain_text("Retried 0 of 1")
    until(lambda: (tab.wait_for_timeout(50), len(asked) > 2)[1], "it is followed")
    tab.click("#live")
    tab.wait_for_timeout(500)  # a question that was under way
    asked.clear()
    tab.wait_for_timeout(3000)
    assert asked == []
    broken = True
    tab.click("#live")
    expect(tab.locator(".operation")).to_contain_text("does not answer")
    asked.clear()
    tab.wait_for_timeout(6000)
    assert len(asked) <= 4, "more and more rarely while the server is away"


def test_a_task_that_comes_later_is_shown_whole(fleet: Fleet, tab: Page) -> None:
    tab.goto(f"{fleet.url}/#/task/comes-later")
    expect(tab.locator("main .empty")).to_contain_text("There is no such task")
    fleet.submit("comes-later", data={"picture": 7})
    fleet.has("comes-later", "success")
    look_again(tab)
    expect(tab.locator("pre", has_text='"picture": 7')).to_be_visible()
    expect(tab.locator("#log")).to_contain_text("made it")
    expect(tab.locator(".facts")).to_be_visible()
    expect(tab.locator("main .empty")).to_have_count(0)


def test_enter_in_a_dialog_says_yes_and_escape_says_no(fleet: Fleet, tab: Page) -> None:
    fleet.submit("kept", "kept")
    fleet.has("kept", "failed")
    tab.goto(f"{fleet.url}/#/handlers")
    row = tab.locator("tr", has=tab.get_by_role("link", name="kept", exact=True))
    for key, paused in (("Escape", 0), ("Enter", 1)):
        row.get_by_role("button", name="Pause").click()
        tab.fill("#reason", "a move")
        tab.press("#reason", key)
        expect(tab.locator("dialog")).to_have_count(0)
        tab.wait_for_timeout(300)
        found = [one for one in fleet.found("pauses")["pauses"] if one["task_type"] == "kept"]
        assert len(found) == paused, json.dumps(found)
    assert found[0]["reason"] == "a move"
