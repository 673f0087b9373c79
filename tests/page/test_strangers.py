"""The page before strangers: hostile data, tokens, a server that is away, and eyes that read it in other ways."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Fleet, opened, running, until

ADMIN = "admin-0123456789abcdef"
READER = "reader-0123456789abcdef"
AXE = "axe-core@4.14.1"
SCRIPT = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
HOSTILE = {
    "script": SCRIPT,
    "turned": "cod.\u202egnp.exe\u2066\u200f",
    "large": "A" * 1_048_576,
    "quotes": "\"'`${window.hacked=1}{{7*7}}\\u003cb\\u003e",
    "controls": "\u0007\u001b[31mred\u001b[0m\u0000",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Behind a token, below a path."""
    folder = tmp_path_factory.mktemp("guarded")
    with running(folder, token=ADMIN, read_token=READER, base_path="/grid") as fleet:
        fleet.submit("broken", "fail")
        fleet.has("broken", "failed")
        yield fleet


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_wrong_token_is_told_and_a_right_one_lets_in(guarded: Fleet, tab: Page) -> None:
    tab.goto(f"{guarded.url}/grid")
    tab.fill("#token", "wrong-0123456789abcdef")
    tab.press("#token", "Enter")
    expect(tab.locator("#wrong")).to_be_visible()
    tab.fill("#token", ADMIN)
    tab.press("#token", "Enter")
    expect(tab.locator("#tile-failed .figure")).to_have_text("1")
    tab.goto(f"{guarded.url}/grid/#/task/broken")
    expect(tab.locator("#retry")).to_be_visible()
    tab.reload()
    expect(tab.locator("#retry")).to_be_visible()
    tab.click("#leave")
    expect(tab.locator("#token")).to_be_visible()
    expect(tab.locator("body")).not_to_contain_text("broken")


def test_a_reader_is_offered_nothing_that_it_may_not_do(guarded: Fleet, tab: Page) -> None:
    tab.goto(f"{guarded.url}/grid/#/task/broken")
    tab.fill("#token", READER)
    tab.press("#token", "Enter")
    expect(tab.locator(".failure")).to_be_visible()
    for view in ("task/broken", "tasks", "letters", "handlers"):
        tab.goto(f"{guarded.url}/grid/#/{view}")
        expect(tab.locator("main tbody tr").first).to_be_visible()
        words = tab.locator("main button").all_inner_texts()
        assert not {"Retry", "Cancel", "Pause", "Send again", "Drop", "Retry all of these…"} & set(words), words


# -- hostile data -----------------------------------------------------------------------------------------------------


def test_what_others_wrote_is_text_everywhere(fleet: Fleet, tab: Page) -> None:
    for name, text in HOSTILE.items():
        fleet.submit(
            f"{name}-{text[:60]}".replace("\u0000", "").replace("\u0007", "").replace("\u001b", ""),
            data=text,
            task_type="echo",
        )
    fleet.submit("typed", task_type=SCRIPT, data={SCRIPT: [SCRIPT]})
    fleet.submit("../..", "echo", data="dots")
    until(lambda: fleet.found("stats")["statuses"].get("failed", 0) >= len(HOSTILE) + 2, "all have failed")
    paused = fleet.client.post(f"types/{quote(SCRIPT, safe='')}/pause", json={"reason": SCRIPT})
    assert paused.status_code == 200, paused.text
    for view in ("", "tasks", "letters", "handlers"):
        tab.goto(f"{fleet.url}/#/{view}")
        expect(tab.locator("main")).to_contain_text("<img src=x")
    tab.goto(f"{fleet.url}/#/tasks")
    expect(tab.locator("tbody tr")).to_have_count(len(HOSTILE) + 2)
    assert not re.search("[\u202e\u2066\u200f]", tab.locator("tbody").inner_text()), "what turns text around is named"
    for task_id in [task["task_id"] for task in fleet.found("tasks")["tasks"]]:
        tab.goto(f"{fleet.url}/#/tasks")
        tab.locator("a.id").nth([task["task_id"] for task in fleet.found("tasks")["tasks"]].index(task_id)).click()
        expect(tab.locator(".failure")).to_be_visible()
        expect(tab.locator(".values pre").first).to_be_visible()
        assert tab.locator(".values pre").first.evaluate("one => one.textContent.length") <= 21_000
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("main img, main script, main b").count() == 0


# -- a server that is away --------------------------------------------------------------------------------------------


def test_a_server_that_goes_away_is_told_and_found_again(tmp_path: Path, tab: Page) -> None:
    with running(tmp_path) as fleet:
        fleet.submit("before")
        fleet.has("before", "success")
        port = fleet.url.rpartition(":")[2]
        tab.goto(f"{fleet.url}/#/tasks")
        expect(tab.locator("tbody tr")).to_have_count(1)
    expect(tab.locator(".banner")).to_contain_text("does not answer")
    expect(tab.locator("tbody tr")).to_have_count(1)  # what was known stays
    with running(tmp_path, listen=f"127.0.0.1:{port}") as fleet:
        fleet.submit("after")
        expect(tab.locator(".banner")).to_be_hidden()
        expect(tab.locator("tbody")).to_contain_text("after")


# -- for everybody ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core, fetched once for this environment."""
    place = Path(sys.prefix) / "axe"
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm")
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), AXE], check=True, timeout=90)
    return script.read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(fleet: Fleet, guarded: Fleet, browser: Browser, axe: str, theme: str) -> None:
    fleet.submit(f"seen-{theme}", "slow", data={"a": 1})
    fleet.submit(f"broken-{theme}", "fail", data={"a": 1})
    fleet.has(f"seen-{theme}", "running")
    fleet.has(f"broken-{theme}", "failed")
    with opened(browser, color_scheme=theme) as tab:
        tasks = ("tasks", "tasks?since=2h&until=1h", f"task/seen-{theme}", f"task/broken-{theme}", "task/nobody")
        for view in ("", *tasks, "letters", "handlers", "nowhere"):
            tab.goto(f"{fleet.url}/#/{view}")
            expect(tab.locator("main tbody tr, main dd, main .empty").first).to_be_attached()
            assert _found(tab, axe) == [], view
        tab.goto(f"{fleet.url}/#/tasks?status=failed")
        tab.click("#all-retry")
        expect(tab.locator("dialog")).to_be_visible()
        assert _found(tab, axe) == [], "dialog"
        tab.keyboard.press("Escape")
        expect(tab.locator("dialog")).to_have_count(0)
        tab.goto(f"{guarded.url}/grid/")
        expect(tab.locator("#token")).to_be_visible()
        assert _found(tab, axe) == [], "login"
    fleet.client.post(f"tasks/seen-{theme}/cancel")


def _found(tab: Page, axe: str) -> list[str]:
    tab.evaluate(f"{axe}; 0")
    told = tab.evaluate(
        "async () => JSON.stringify((await axe.run(document, {resultTypes: ['violations']})).violations)"
    )
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes'][:4]]}" for one in json.loads(told)]


def test_everything_can_be_reached_with_the_keyboard(fleet: Fleet, tab: Page) -> None:
    fleet.submit("keys", "fail")
    fleet.has("keys", "failed")
    tab.goto(f"{fleet.url}/#/task/keys")
    expect(tab.locator("#retry")).to_be_visible()
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "retry":
            break
    tab.keyboard.press("Enter")
    until(lambda: fleet.found("tasks/keys")["attempt"] == 2, "it was retried")
