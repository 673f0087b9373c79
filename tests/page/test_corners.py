"""What people met in the page's corners: each of it once went wrong."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import Fleet, running, until
from tests.support.place import TASKS

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
        until(lambda count=paused: len(pauses_of(fleet, "kept")) == count)  # type: ignore[misc]
    assert pauses_of(fleet, "kept")[0]["reason"] == "a move"


def pauses_of(fleet: Fleet, task_type: str) -> list[dict[str, Any]]:
    return [one for one in fleet.found("pauses")["pauses"] if one["task_type"] == task_type]


@pytest.mark.parametrize("hours", [3, -3])
def test_a_browser_whose_clock_is_wrong(fleet: Fleet, tab: Page, hours: int) -> None:
    fleet.submit(f"skewed{hours}", "slow")
    fleet.has(f"skewed{hours}", "running")
    tab.add_init_script(
        f"const Real = Date, off = {hours * 3_600_000};"
        "window.Date = class extends Real { static now() { return Real.now() + off; }"
        " constructor(...given) { given.length ? super(...given) : super(window.Date.now()); } }"
    )
    tab.goto(fleet.url)
    row = tab.locator("tr", has_text=f"skewed{hours}")
    expect(row.locator("[data-started]")).to_have_text(re.compile(r"^[1-9]\d? s$"))
    fleet.client.post(f"tasks/skewed{hours}/cancel")


@pytest.mark.parametrize("name", ["__proto__", "constructor", "nowhere", "letters/of-mine", "overview/7"])
def test_an_address_of_no_view_says_so_and_leads_on(fleet: Fleet, tab: Page, name: str) -> None:
    tab.goto(f"{fleet.url}/#/{name}")
    expect(tab.locator("main .empty")).to_contain_text("There is nothing at this address")
    expect(tab.locator("main .empty code")).to_have_text(f"#/{name}")
    expect(tab.locator(".banner")).to_be_hidden()
    expect(tab.locator("[aria-current=page]")).to_have_count(0)
    tab.get_by_role("link", name="To the overview").click()
    expect(tab.locator("#tile-workers .figure")).to_have_text("1")


@pytest.mark.parametrize("name", ["task", "task/", "tasks/", "letters/"])
def test_an_address_that_ends_early_shows_the_list(fleet: Fleet, tab: Page, name: str) -> None:
    tab.goto(f"{fleet.url}/#/{name}")
    expect(tab.locator("h1")).to_have_text("Dead letters and callbacks" if "letters" in name else "Tasks")
    expect(tab.locator("[aria-current=page]")).to_have_count(1)


def test_an_id_among_the_tasks_is_that_task(fleet: Fleet, tab: Page) -> None:
    fleet.submit("of-many", data={"picture": 8})
    fleet.has("of-many", "success")
    tab.goto(f"{fleet.url}/#/tasks/of-many")
    expect(tab.locator("h1")).to_have_text("of-many")
    expect(tab.locator("pre", has_text='"picture": 8')).to_be_visible()


def test_rubbish_in_a_filter_is_told_and_cleared(fleet: Fleet, tab: Page) -> None:
    fleet.submit("found-again")
    fleet.has("found-again", "success")
    tab.goto(f"{fleet.url}/#/tasks?status=bogus&since=never&type=%FF%00")
    expect(tab.locator(".banner")).to_contain_text("must be one of pending")
    tab.get_by_role("link", name="Clear filters").first.click()
    expect(tab.locator(".banner")).to_be_hidden()
    expect(tab.locator("tbody tr").first).to_be_visible()


def test_a_token_that_counts_no_more_leads_to_the_form(tmp_path: Path, tab: Page) -> None:
    with running(tmp_path, token=ADMIN) as guarded:
        guarded.submit("secret")
        guarded.has("secret", "success")
        port = guarded.url.rpartition(":")[2]
        tab.goto(f"{guarded.url}/#/tasks")
        tab.fill("#token", ADMIN)
        tab.press("#token", "Enter")
        expect(tab.locator("tbody")).to_contain_text("secret")
    with running(tmp_path, token=f"{ADMIN}-new", listen=f"127.0.0.1:{port}"):
        expect(tab.locator("#wrong")).to_be_visible()
        expect(tab.locator("body")).not_to_contain_text("secret")
        tab.fill("#token", f"{ADMIN}-new")
        tab.press("#token", "Enter")
        expect(tab.locator("tbody")).to_contain_text("secret")


def test_two_tabs_see_what_the_other_does(fleet: Fleet, tab: Page) -> None:
    fleet.submit("shared", "shared")
    fleet.has("shared", "failed")
    other = tab.context.new_page()
    for one in (tab, other):
        one.goto(f"{fleet.url}/#/task/shared")
        expect(one.locator("#retry")).to_be_visible()
    tab.click("#retry")
    until(lambda: fleet.has("shared", "failed")["attempt"] == 2, "it ran again")
    other.click("#retry")  # of what it shows still
    until(lambda: fleet.has("shared", "failed")["attempt"] == 3, "and again")
    expect(tab.locator(".timeline .bar")).to_have_count(3)


def test_who_works_with_the_keyboard_is_not_disturbed_by_a_task_that_goes_on(fleet: Fleet, tab: Page) -> None:
    fleet.submit("goes-on", "slow")
    fleet.has("goes-on", "running")
    tab.goto(f"{fleet.url}/#/task/goes-on")
    tab.focus("#cancel")
    said = tab.locator(".line.large bdi")
    for _ in range(2):
        before = said.inner_text()
        expect(said).not_to_have_text(before)
    expect(tab.locator("#cancel")).to_be_focused()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    expect(tab.locator(".title .badge")).to_have_text("cancelled")
    expect(tab.locator("main")).to_be_focused()


def test_a_filter_that_is_changed_with_the_keyboard_keeps_the_place(fleet: Fleet, tab: Page) -> None:
    fleet.submit("sought", "fail")
    fleet.has("sought", "failed")
    tab.goto(f"{fleet.url}/#/tasks")
    tab.focus("#status-failed")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("status=failed"))
    expect(tab.locator("#status-failed")).to_be_focused()
    tab.focus("input[name=type]")
    tab.keyboard.type("fail")
    tab.locator(".filters").evaluate("one => { one.dataset.before = true; }")
    tab.keyboard.press("Tab")
    expect(tab).to_have_url(re.compile("type=fail"))
    expect(tab.locator("[data-before]")).to_have_count(0)  # the list is another one
    expect(tab.locator("input[name=error_type]")).to_be_focused()
    tab.locator("a.id", has_text="sought").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("h1")).to_have_text("sought")
    expect(tab.locator("main")).to_be_focused()


def test_types_and_errors_that_there_are_can_be_chosen(fleet: Fleet, tab: Page) -> None:
    fleet.submit("chosen", "fail")
    fleet.has("chosen", "failed")
    tab.goto(f"{fleet.url}/#/tasks")
    with closing(sqlite3.connect(fleet.database, timeout=20)) as file, file:
        file.execute(
            f"INSERT INTO {TASKS}_minutes (minute, queue, task_type, outcome, error_type, up_to_ms, n, seconds) "
            "VALUES (?, 'pictures', 'fail', 'failed', 'BadLight', 100, 1, 0.1)",
            (int(time.time() // 60) - 60,),
        )
    for field, value in (("type", "fail"), ("error_type", "BadLight")):
        option = tab.locator(f"#known-{field} option[value={value}]")

        def offered(field: str = field, option: Locator = option) -> int:  # an answer is kept for some seconds
            tab.focus("#search")
            tab.focus(f"input[name={field}]")
            tab.wait_for_timeout(200)
            return option.count()

        until(offered, f"{value} is offered")
    tab.fill("input[name=type]", "fail")
    tab.press("input[name=type]", "Enter")
    expect(tab).to_have_url(re.compile("type=fail$"))


def test_a_task_of_which_all_retries_failed_is_listed_with_what_went_wrong(fleet: Fleet, tab: Page) -> None:
    fleet.submit("exhausted", "fail", max_retry_count=1)
    assert fleet.has("exhausted", "failed")["error_type"] == "RetryExhausted"
    tab.goto(f"{fleet.url}/#/tasks?id_prefix=exhausted")
    expect(tab.locator("tbody .line a")).to_have_text("BadPicture")
    tab.click("tbody .line a")
    expect(tab.locator("tbody tr", has_text="exhausted")).to_have_count(1)


# -- what the browser keeps -------------------------------------------------------------------------------------------

KEEPS_NOTHING = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });"""
RUBBISH = """localStorage.setItem("gridsidecar.language", "xx"); localStorage.setItem("gridsidecar.theme", "xx");"""


def test_a_browser_that_keeps_nothing_shows_the_page_all_the_same(fleet: Fleet, tab: Page) -> None:
    tab.add_init_script(KEEPS_NOTHING)
    tab.goto(fleet.url)
    expect(tab.locator("#tile-workers .figure")).to_have_text("1")
    tab.click("#language")
    expect(tab.locator("nav a").first).to_have_text("总览")
    tab.click("#theme")
    expect(tab.locator("html")).to_have_attribute("data-theme", "light")


def test_a_choice_that_is_none_is_passed_over(fleet: Fleet, tab: Page) -> None:
    tab.add_init_script(RUBBISH)
    tab.goto(fleet.url)
    expect(tab.locator("nav a").first).to_have_text("Overview")
    expect(tab.locator("#theme")).to_have_text("Auto")
