"""A browser, and a sidecar whose page it looks at; tests are plain functions: the browser's driver has its own loop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.sidecar import Sidecar

LIMIT = 45.0  # seconds
expect.set_options(timeout=LIMIT * 1000)

# Handlers in shell: what each does is its name.
SCRIPTS = {
    "ok": "echo made it; " + 'printf \'%s\\n\' \'{"gs":1,"type":"result","result":{"n":12345678901234567890}}\'',
    "fail": "echo before it broke >&2; "
    + 'printf \'%s\\n\' \'{"gs":1,"type":"error","error":"no such picture","error_type":"BadPicture"}\'; exit 1',
    "slow": "n=0; while :; do n=$((n+1)); echo line $n; "
    + 'printf \'{"gs":1,"type":"progress","progress":40,"progress_message":"step %d"}\\n\' $n; sleep 0.3; done',
    "held": "true",
}


def until(true: Callable[[], Any], what: str = "", limit: float = LIMIT) -> Any:
    """The first true value; for what no locator can wait for."""
    deadline = time.monotonic() + limit
    while not (value := true()):
        assert time.monotonic() < deadline, f"did not come true: {what}"
        time.sleep(0.05)
    return value


class Fleet:
    """A sidecar with `http.listen` on SQLite, and a client of its API."""

    def __init__(self, sidecar: Sidecar, url: str, database: Path, token: str | None = None) -> None:
        self.sidecar = sidecar
        self.url = url
        self.database = database
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(base_url=f"{url}/v1/", headers=headers, timeout=LIMIT)

    def submit(self, task_id: str, task_type: str = "ok", **more: Any) -> str:
        task = {"task_id": task_id, "task_type": task_type, "max_retry_count": 0, **more}
        response = self.client.post("tasks", json=task)
        assert response.status_code == 202, response.text
        return task_id

    def found(self, path: str, **params: Any) -> Any:
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def has(self, task_id: str, *statuses: str) -> Any:
        """The task, once it has one of these statuses."""

        def looked() -> Any:
            response = self.client.get(f"tasks/{task_id}")
            return response.status_code == 200 and response.json()["status"] in statuses and response.json()

        return until(looked, f"{task_id} is {statuses}")


def config_of(folder: Path, **http: Any) -> dict[str, Any]:
    url = f"sqlite:///{folder}/fleet.db"
    return {
        "broker": {"url": url, "queue": "pictures", "dead_letter_failed": True},
        "store": {"url": url},
        "worker": {"concurrency": 8, "shutdown_grace": 0},
        "handlers": {
            name: {"command": ["sh", "-c", f"cat >/dev/null; {script}"], "kill_grace": 1}
            for name, script in SCRIPTS.items()
        }
        | {"default": {"command": ["sh", "-c", ECHO], "kill_grace": 1}},
        "retry": {"delay": 1},
        "progress_interval": 0.2,
        "http": {"listen": "127.0.0.1:0", **http},
    }


# Says its data as a log, and fails with it: whatever somebody sends comes back in every place that shows it.
ECHO = r"""python3 -c '
import json, sys
data = json.loads(sys.stdin.readline())["data"]
print(data, flush=True)
print(json.dumps({"gs": 1, "type": "progress", "progress": 50, "progress_message": str(data)[:200]}), flush=True)
print(json.dumps({"gs": 1, "type": "error", "error": str(data)[:900], "error_type": str(data)[:60]}), flush=True)
sys.exit(1)'"""


@contextmanager
def running(folder: Path, token: str | None = None, **http: Any) -> Iterator[Fleet]:
    """A fleet of one; its port is free unless `listen` names one."""
    (folder / "log").unlink(missing_ok=True)  # that of one before it
    sidecar = Sidecar(folder, config_of(folder, **({"token": token} if token else {}), **http))
    try:
        until(lambda: sidecar.says("consuming") or sidecar.exit_code is not None, "the sidecar consumes")
        assert sidecar.exit_code is None, sidecar.text
        url = next(word.removeprefix("url=") for word in sidecar.text.split() if word.startswith("url=http"))
        fleet = Fleet(sidecar, url, folder / "fleet.db", token)
        yield fleet
        fleet.client.close()
    finally:
        if sidecar.exit_code is None:
            sidecar.terminate()
            until(lambda: sidecar.exit_code is not None, "the sidecar leaves")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def chromium() -> dict[str, Any]:
    """The browser of this machine, as the driver starts it; None where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return {"executable_path": program, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if chromium()["executable_path"] is None:
        pytest.skip("no chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**chromium())
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A tab in which nothing may go wrong unseen: no error of a script, nothing that the policy refused."""
    context = browser.new_context(**{"locale": "en", "viewport": {"width": 1360, "height": 860}, **options})
    context.set_default_timeout(LIMIT * 1000)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "console",
        lambda told: wrong.append(told.text) if told.type == "error" and "Failed to load" not in told.text else None,
    )
    tab.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}") or dialog.dismiss())
    yield tab
    context.close()
    assert wrong == [], wrong


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    with opened(browser) as tab:
        yield tab
