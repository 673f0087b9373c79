"""The page in a browser: every view with tasks that run, and clicks that change them for real."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from gridsidecar import __version__
from tests.page.conftest import Fleet, config_of, opened, until
from tests.support.place import TASKS
from tests.support.sidecar import Sidecar

BAD = "no such picture"


@pytest.fixture(scope="module", autouse=True)
def tasks(fleet: Fleet) -> None:
    """Some of each kind, before anybody looks."""
    fleet.submit("runs", "slow", data={"big": 1})
    for number in range(3):
        fleet.submit(f"made-{number}", data={"picture": number})
        fleet.submit(f"broken-{number}", "fail", data={"picture": number})
    fleet.has("runs", "running")
    for number in range(3):
        fleet.has(f"made-{number}", "success")
        fleet.has(f"broken-{number}", "failed")


def test_the_overview_has_what_runs_and_who_works(fleet: Fleet, tab: Page) -> None:
    tab.goto(fleet.url)
    expect(tab.locator("#tile-failed .figure")).to_have_text(re.compile("[3-9]"))
    expect(tab.locator("#tile-workers .figure")).to_have_text("1")
    row = tab.locator("tbody tr", has_text="runs")
    expect(row).to_contain_text("40 %")
    before = row.inner_text()
    until(lambda: row.inner_text() != before, "the message of a running task moves on by itself")
    expect(tab.locator("canvas")).to_have_count(2)
    worker = tab.locator("tr", has=tab.locator(".badge", has_text="alive"))
    expect(worker).to_contain_text(re.compile(r"[0-8] of 8"))
    expect(worker).to_contain_text(__version__)


def test_a_worker_that_left_is_no_failure_and_those_that_live_come_first(
    fleet: Fleet, tab: Page, tmp_path: Path
) -> None:
    settings = config_of(fleet.database.parent) | {"worker": {"name": "lost", "lease": 1}}
    lost = Sidecar(tmp_path / "lost", settings | {"http": {}})
    until(lambda: lost.says("consuming"), "it works")
    lost.kill()
    left = Sidecar(tmp_path / "left", settings | {"worker": {"name": "left"}, "http": {}}, "--burst")
    until(lambda: left.exit_code is not None, "it has nothing to do")
    assert left.exit_code == 0, left.text
    tab.goto(fleet.url)
    card = tab.locator(".card", has=tab.locator("h2", has_text="Workers"))
    expect(card.locator("tbody tr", has_text="lost").locator(".badge.failed")).to_have_text("silent")
    expect(card.locator("tbody tr .badge")).to_have_text(["alive", "silent"])
    expect(card).not_to_contain_text("left")


def test_filters_live_in_the_address_and_an_exact_id_jumps(fleet: Fleet, tab: Page) -> None:
    tab.goto(f"{fleet.url}/#/tasks")
    tab.click("#status-failed")
    tab.fill("input[name=type]", "fail")
    tab.press("input[name=type]", "Enter")
    expect(tab).to_have_url(re.compile(r"#/tasks\?status=failed&type=fail$"))
    expect(tab.locator("tbody tr")).to_have_count(3)
    expect(tab.locator("tbody")).to_contain_text(BAD)
    tab.reload()
    expect(tab.locator("#status-failed")).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("tbody tr")).to_have_count(3)
    tab.keyboard.press("/")
    tab.keyboard.type("made-1")
    tab.keyboard.press("Enter")
    expect(tab.locator("h1")).to_have_text("made-1")
    tab.fill("#search", "made-")
    tab.press("#search", "Enter")
    expect(tab).to_have_url(re.compile(r"#/tasks\?id_prefix=made-$"))
    expect(tab.locator("tbody tr")).to_have_count(3)
    tab.go_back()
    expect(tab.locator("h1")).to_have_text("made-1")


def test_a_task_tells_why_it_failed_and_runs_again(fleet: Fleet, tab: Page) -> None:
    tab.goto(f"{fleet.url}/#/tasks?status=failed&type=fail")
    tab.click("a.id >> text=broken-2")
    expect(tab.locator(".failure")).to_contain_text(BAD)
    expect(tab.locator(".failure")).to_contain_text("BadPicture")
    expect(tab.locator("#log")).to_contain_text("before it broke")
    expect(tab.locator("pre", has_text='"picture": 2')).to_be_visible()
    tab.click("#retry")
    until(lambda: fleet.has("broken-2", "failed")["attempt"] == 2, "it ran again")
    expect(tab.locator(".facts div", has_text="Attempt")).to_have_text("Attempt2")
    expect(tab.locator(".timeline .bar")).to_have_count(2)


def test_numbers_are_shown_as_they_were_written(fleet: Fleet, tab: Page) -> None:
    tab.goto(f"{fleet.url}/#/task/made-0")
    expect(tab.locator("pre", has_text="12345678901234567890")).to_be_visible()


def test_a_running_task_is_followed_and_cancelled(fleet: Fleet, tab: Page) -> None:
    fleet.submit("doomed", "slow")
    fleet.has("doomed", "running")
    streams: list[str] = []
    tab.on("request", lambda request: streams.append(request.url) if request.url.endswith("/events") else None)
    tab.goto(f"{fleet.url}/#/task/doomed")
    expect(tab.locator("#log")).to_contain_text("line 2")
    shown = tab.locator("#log").inner_text()
    until(lambda: len(tab.locator("#log").inner_text()) > len(shown), "the log goes on")
    until(lambda: (tab.wait_for_timeout(50), streams)[1], "a stream is open")
    tab.click("#cancel")
    tab.click("dialog button[value=yes]")
    expect(tab.locator(".title .badge")).to_have_text("cancelled")
    assert fleet.has("doomed", "cancelled")
    assert len(streams) == 1


def test_all_that_match_are_retried_with_their_number(fleet: Fleet, tab: Page) -> None:
    for number in range(5):
        fleet.submit(f"many-{number}", "many")
    for number in range(5):
        fleet.has(f"many-{number}", "failed")
    tab.goto(f"{fleet.url}/#/tasks?type=many&status=failed")
    expect(tab.locator("tbody tr")).to_have_count(5)
    tab.click("#all-retry")
    expect(tab.locator("dialog")).to_contain_text("Run 5 tasks again?")
    tab.click("dialog button[value=yes]")
    expect(tab.locator(".operation")).to_contain_text("Retried 5 of 5")
    until(lambda: all(fleet.found(f"tasks/many-{number}")["attempt"] == 2 for number in range(5)), "all ran again")


def test_a_type_is_paused_and_resumed(fleet: Fleet, tab: Page) -> None:
    fleet.submit("held-0", "held")
    fleet.has("held-0", "success")
    tab.goto(f"{fleet.url}/#/handlers")
    row = tab.locator("tr", has=tab.locator("td:first-child", has_text=re.compile("^held$")))
    row.get_by_role("button", name="Pause").click()
    tab.fill("#reason", "the disk is full")
    tab.click("dialog button[value=yes]")
    expect(row).to_contain_text("the disk is full")
    assert [one["task_type"] for one in fleet.found("pauses")["pauses"]] == ["held"]
    tab.goto(f"{fleet.url}/#/")
    expect(tab.locator(".notice", has_text="held")).to_contain_text("the disk is full")
    tab.goto(f"{fleet.url}/#/handlers")
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("takes tasks")
    until(lambda: all(one["ended"] for one in fleet.found("pauses")["pauses"]), "it is resumed")


def test_a_dead_letter_is_shown_sent_again_and_dropped(fleet: Fleet, tab: Page) -> None:
    for task_id in ("lost-a", "lost-b"):
        fleet.submit(task_id, "fail", data={"picture": task_id})
        fleet.has(task_id, "failed")
    until(lambda: {"lost-a", "lost-b"} <= {one["task_id"] for one in fleet.found("dead")["dead"]}, "both have letters")
    tab.goto(f"{fleet.url}/#/letters")
    row = tab.locator("tr", has=tab.locator("a.id", has_text="lost-a"))
    row.get_by_role("button", name="Show").click()
    expect(tab.locator("tr.inside")).to_contain_text('"picture":"lost-a"')
    row.get_by_role("button", name="Send again").click()
    until(lambda: fleet.found("tasks/lost-a")["attempt"] == 2, "its task ran again")
    other = tab.locator("tr", has=tab.locator("a.id", has_text="lost-b"))
    other.get_by_role("button", name="Drop").click()
    tab.click("dialog button[value=yes]")
    expect(other).to_have_count(0)
    assert "lost-b" not in {one["task_id"] for one in fleet.found("dead")["dead"]}


def test_callbacks_are_shown_with_what_is_sent_and_dropped(fleet: Fleet, tab: Page) -> None:
    fleet.submit("refused", callback_url="http://127.0.0.1:9/x")  # no receiver on this machine is allowed
    fleet.submit("waits", callback_url="http://192.0.2.1/x")  # nobody has this address
    until(lambda: fleet.found("callbacks", dead="true")["callbacks"], "one is given up")
    until(lambda: fleet.found("callbacks", owed="true")["callbacks"], "one is owed")
    tab.goto(f"{fleet.url}/#/letters")
    row = tab.locator("tr", has=tab.locator("a.id", has_text="refused"))
    row.get_by_role("button", name="Show").click()
    expect(tab.locator("tr.inside pre")).to_contain_text('"status":"success"')
    row.get_by_role("button", name="Drop").click()
    tab.click("dialog button[value=yes]")
    expect(row).to_have_count(0)
    expect(tab.locator("tr.inside")).to_have_count(0)
    tab.get_by_role("button", name="owed").click()
    expect(tab.locator("tr", has=tab.locator("a.id", has_text="waits"))).to_contain_text("192.0.2.1")
    tab.goto(f"{fleet.url}/#/task/waits")
    owed = tab.locator("tr", has_text="192.0.2.1")
    owed.get_by_role("button", name="Show").click()
    expect(tab.locator("tr.inside pre")).to_contain_text('"task_id":"waits"')
    owed.get_by_role("button", name="Drop").click()
    tab.click("dialog button[value=yes]")
    expect(owed).to_have_count(0)
    assert fleet.found("callbacks", task_id="waits")["callbacks"] == []


def test_chinese_by_the_browser_and_by_a_click(fleet: Fleet, browser: Browser) -> None:
    with opened(browser, locale="zh-CN") as tab:
        tab.goto(fleet.url)
        expect(tab.locator("nav a").first).to_have_text("总览")
        expect(tab.locator("html")).to_have_attribute("lang", "zh")
        tab.click("#language")
        expect(tab.locator("nav a").first).to_have_text("Overview")
        tab.reload()
        expect(tab.locator("nav a").first).to_have_text("Overview")


@pytest.mark.parametrize("view", ["", "tasks", "task/broken-0", "letters", "handlers"])
def test_a_phone_shows_all_of_it(fleet: Fleet, browser: Browser, view: str) -> None:
    with opened(browser, viewport={"width": 375, "height": 740}) as tab:
        tab.goto(f"{fleet.url}/#/{view}")
        expect(tab.locator("main h2, main tbody tr").first).to_be_attached()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 375


def test_what_is_polled_is_answered_with_304_and_waits_in_hidden_tabs(fleet: Fleet, tab: Page) -> None:
    answers: list[tuple[str, int]] = []
    tab.on("response", lambda response: answers.append((response.url.split("/v1/")[-1], response.status)))
    tab.goto(f"{fleet.url}/#/letters")
    expect(tab.locator("h1")).to_be_visible()
    tab.goto(f"{fleet.url}/#/tasks?status=success&type=ok")
    until(
        lambda: (
            tab.wait_for_timeout(50),
            any(path.startswith("tasks?") and status == 304 for path, status in answers),
        )[1]
    )
    assert sum(path.startswith("dead") for path, _ in answers) == 1, "dead letters are not polled"
    asked: list[str] = []  # what was asked before is still on its way
    tab.on("request", lambda request: asked.append(request.url))
    tab.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked.clear()
    tab.wait_for_timeout(3500)
    assert asked == []
    tab.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: (tab.wait_for_timeout(50), asked)[1], "it goes on")
    tab.click("#live")
    expect(tab.locator("#live")).to_have_attribute("aria-pressed", "true")
    tab.wait_for_timeout(500)  # a look that was asked for while another was under way
    asked.clear()
    tab.wait_for_timeout(3500)
    assert asked == []


def test_ten_thousand_tasks_are_shown_page_by_page(fleet: Fleet, tab: Page) -> None:
    at = "strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', n || ' seconds')"
    with closing(sqlite3.connect(fleet.database, timeout=20)) as file, file:
        file.execute(
            f"INSERT INTO {TASKS} (id, task_type, status, queue, created_at, updated_at) "
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000) "
            f"SELECT 'row-' || n, 'bulk', 'success', 'pictures', {at}, {at} FROM numbers"
        )
    tab.goto(f"{fleet.url}/#/tasks?type=bulk")
    for page in range(3):
        expect(tab.locator("a.id").first).to_have_text(f"row-{10_000 - 50 * page}")
        expect(tab.locator("tbody tr")).to_have_count(50)
        tab.click("#older")
    tab.go_back()
    expect(tab.locator("a.id").first).to_have_text("row-9900")
    tab.goto(f"{fleet.url}/#/")
    expect(tab.locator("#tile-success .figure")).to_have_text(re.compile(r"^10,0\d\d$"))
