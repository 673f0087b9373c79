"""Makes the pictures of the page anew: `python -m tests.page.pictures --output docs/page`."""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import fresh_database, fresh_queue
from tests.page.conftest import chromium, opened
from tests.page.pictures.shop import Shop, shop, troubles, work
from tests.support import services
from tests.support.debian import CannotInstall, install

DESKTOP = {"viewport": {"width": 1280, "height": 860}, "timezone_id": "Europe/Berlin"}
PHONE = {"viewport": {"width": 375, "height": 760}, "device_scale_factor": 1.5, "timezone_id": "Europe/Berlin"}
TALLER = {**DESKTOP, "viewport": {"width": 1280, "height": 972}}
LOWER = {**DESKTOP, "viewport": {"width": 1280, "height": 520}}
CHINESE = {**TALLER, "locale": "zh-CN", "timezone_id": "Asia/Shanghai"}
QUALITY = 70  # per cent, of WebP
FONTS = {"en": ("Noto Sans", "fonts-noto-core"), "zh": ("Noto Sans CJK SC", "fonts-noto-cjk")}  # and Debian's packages


class View(NamedTuple):
    """What a picture shows: an address, and what is done and waited for there."""

    name: str
    address: str
    ready: Callable[[Page], None]
    options: dict[str, Any] = DESKTOP
    endings: Sequence[str] = ("light", "dark")

    @property
    def pictures(self) -> dict[str, str]:
        """Their names, and the theme of each."""
        return {
            f"{self.name}-{ending}".rstrip("-"): "dark" if ending in ("dark", "") else "light"
            for ending in self.endings
        }


def overview(tab: Page) -> None:
    expect(tab.locator(".notice")).to_have_count(2)
    expect(tab.locator("canvas")).to_have_count(2)
    expect(tab.locator(".bars li").first).to_be_visible()
    expect(tab.locator("#tile-dead .figure")).not_to_have_text("–")


def tasks(tab: Page) -> None:
    expect(tab.locator("tbody tr")).to_have_count(50)


def running_task(tab: Page) -> None:
    expect(tab.locator(".timeline .bar")).to_have_count(2)
    expect(tab.locator("#log")).to_contain_text("frame=")


def failed_task(tab: Page) -> None:
    expect(tab.locator(".timeline .bar")).to_have_count(4)
    expect(tab.locator("#log")).to_contain_text("connecting")


def letters(tab: Page) -> None:
    expect(tab.locator("a.id", has_text="mail-202601")).to_be_visible()
    tab.locator("tr", has_text="mail-202602").get_by_role("button", name="Show").click()
    expect(tab.locator("tr.inside pre")).to_be_visible()


def handlers(tab: Page) -> None:
    tab.get_by_role("button", name="1 h").click()
    expect(tab.locator("tr", has_text="mail.send")).to_contain_text("/min")


VIEWS = (
    View("overview", "", overview, TALLER),
    View("overview", "", overview, CHINESE, ["zh"]),
    View("phone", "", overview, PHONE, [""]),
    View("tasks", "tasks", tasks),
    View("task", "task/video-30710", running_task),
    View("failed", "task/invoice-20410", failed_task),
    View("letters", "letters", letters),
    View("handlers", "handlers", handlers, LOWER),
)
NAMES = [name for view in VIEWS for name in view.pictures]


def main(arguments: Sequence[str] | None = None, queue: str = "shop") -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.page.pictures", description=__doc__)
    asked.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where they go")
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(NAMES)}")
    given = asked.parse_args(arguments)
    if strange := set(given.names) - set(NAMES):
        asked.error(f"no picture is named {', '.join(sorted(strange))}")
    wanted = given.names or NAMES
    fonts("zh" if "overview-zh" in wanted else "en")
    with at_work(queue) as fleet, sync_playwright() as driver:
        browser = driver.chromium.launch(**chromium())
        for view in VIEWS:
            if names := [name for name in view.pictures if name in wanted]:
                take(browser, fleet, view, names, given.output)
        browser.close()


def fonts(language: str) -> None:
    """Those that the pictures need; CannotInstall says which are missing."""
    for one in ("en", language):
        family, package = FONTS[one]
        if family not in subprocess.run(["fc-list", ":", "family"], capture_output=True, text=True).stdout:
            install(package)


@contextmanager
def at_work(queue: str) -> Iterator[Shop]:
    """A fleet in the middle of it, on servers that are found as those of the tests are."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-")))
        amqp_url = stack.enter_context(services.rabbitmq_url())
        store_url = stack.enter_context(fresh_database(stack.enter_context(services.mysql_url())))
        stack.enter_context(fresh_queue(amqp_url, queue))
        fleet = stack.enter_context(shop(folder, amqp_url, store_url, queue))
        troubles(fleet)
        work(fleet)
        yield fleet


def take(browser: Browser, fleet: Shop, view: View, names: Sequence[str], folder: Path) -> None:
    with opened(browser, **view.options) as tab:
        tab.goto(f"{fleet.url}/#/{view.address}")
        view.ready(tab)
        for name in names:
            tab.emulate_media(color_scheme=view.pictures[name])
            (folder / f"{name}.webp").write_bytes(picture(tab))
            print(name, flush=True)


def picture(tab: Page) -> bytes:
    """What is seen, as WebP."""
    assert tab.viewport_size is not None
    clip = {"x": 0, "y": 0, **tab.viewport_size, "scale": tab.evaluate("devicePixelRatio")}
    session = tab.context.new_cdp_session(tab)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY, "clip": clip})
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    try:
        main()
    except CannotInstall as error:
        sys.exit(str(error))
