"""What the page is made of: its files, their size and their words; and what it asks of the API."""

from __future__ import annotations

import asyncio
import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gridsidecar.http.files import page_files
from gridsidecar.http.redaction import Hiding
from gridsidecar.rules.task import Succeeded
from tests.http.conftest import ADMIN, READER, Serve, Served, problem
from tests.store.workers import BOOM, Two, end, task

PAGE = Path(__file__).parents[2] / "gridsidecar" / "http" / "page"
MOST_LINES = 3_000
MOST_SENT = 120 * 1024  # bytes, compressed
WORDS = PAGE / "words.js"
ENTRY = re.compile(r'^ +"([\w.]+)": \["((?:[^"\\]|\\.)+)", "((?:[^"\\]|\\.)+)"\],$', re.M)


async def test_the_page_needs_no_token_and_lets_in_nothing_from_elsewhere(serve: Serve) -> None:
    async with serve(token=ADMIN) as api:
        index = await api.get("/")
        assert index.status_code == 200
        policy = index.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "require-trusted-types-for 'script'" in policy
        assert index.headers["content-type"] == "text/html; charset=utf-8"
        for name in re.findall(r'(?:src|href)="([^"]+)"', index.text):
            assert not name.startswith(("/", "http")), "a proxy may show it below a path"
            assert (await api.get(f"/{name}")).status_code == 200, name
        assert (await api.get("/v1/me")).status_code == 401
        assert problem(await api.get("/page/..%2F..%2Fapi.py")) == (404, "unknown-path")
        assert problem(await api.get("/page/nothing.js")) == (404, "unknown-path")


async def test_files_are_compressed_and_sent_once(api: Served) -> None:
    packed = await api.get("/page/main.js")
    assert packed.headers["content-encoding"] == "gzip"
    again = await api.get("/page/main.js", headers={"If-None-Match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await api.get("/page/main.js", headers={"Accept-Encoding": "identity"})
    assert plain.content == packed.content == (PAGE / "main.js").read_bytes()
    assert plain.headers["etag"] != packed.headers["etag"]


async def test_below_a_path_of_a_proxy(serve: Serve) -> None:
    async with serve(base_path="/tools/grid") as api:
        moved = await api.get("/tools/grid")
        assert (moved.status_code, moved.headers["location"]) == (307, "grid/")
        assert (await api.get("/tools/grid/")).text == (await api.get("/")).text
        assert (await api.get("/tools/grid/page/main.js")).status_code == 200


def test_it_stays_small() -> None:
    own = [file for file in PAGE.iterdir() if file.is_file()]
    assert sum(len(file.read_text().splitlines()) for file in own) <= MOST_LINES
    assert sum(len(one.packed) for one in page_files().values()) <= MOST_SENT
    assert all(gzip.decompress(one.packed) == one.plain for one in page_files().values())
    assert "MIT" in (PAGE / "vendor" / "uplot.LICENSE.txt").read_text()


def test_text_is_only_ever_text() -> None:
    for file in PAGE.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", file.read_text()
        ), file


def test_every_word_is_there_in_both_languages_and_said_somewhere() -> None:
    words = {name: (english, chinese) for name, english, chinese in ENTRY.findall(WORDS.read_text())}
    assert len(words) == WORDS.read_text().count('": ["'), "an entry is one line: name, English, Chinese"
    for name, (english, chinese) in words.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), name
        assert re.search("[\u4e00-\u9fff{]", chinese) or english == chinese, name
        assert not re.search("[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", chinese), f"{name}: ，；：？！"
    code = "\n".join(file.read_text() for file in PAGE.glob("*.js") if file != WORDS)
    said = set(re.findall(r'\bt\(\s*"([^"]+)"', code))
    assert said <= set(words)
    begun = set(re.findall(r"\bt\(`([\w.]+)\$\{", code))
    named = said | set(re.findall(r'"([a-z]+\.\w+)"', code))
    assert [name for name in words if name not in named and not name.startswith(tuple(begun))] == []


def test_nothing_of_it_is_read_before_a_browser_asks() -> None:
    code = (
        "import sys, gridsidecar.daemon; print([name for name in sys.modules if name.startswith('gridsidecar.http')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# -- what it asks -----------------------------------------------------------------------------------------------------


async def test_what_a_token_may(serve: Serve) -> None:
    async with serve(token=ADMIN, read_token=READER) as api:
        for token, may in ((ADMIN, True), (READER, False)):
            me = (await api.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).json()
            assert (me["may_change"], me["token"], me["worker"], me["not_ready"]) == (may, True, False, {})
    async with serve() as api:
        assert (await api.found("/v1/me"))["may_change"] is True


async def test_what_ended_by_type_and_error(api: Served, two: Two) -> None:
    from datetime import UTC, datetime

    from gridsidecar.store.minutes import Cell, Total, minute_of

    now = minute_of(datetime.now(UTC))
    await two.a.minutes.add(
        [
            (Cell(now, "mail", "failed", "Boom", 1000), Total(3, 2.4)),
            (Cell(now, "mail", "success", "", 100), Total(5, 0.5)),
            (Cell(now - 120, "mail", "failed", "Old", 1000), Total(9, 9.0)),
        ]
    )
    found = (await api.found("/v1/stats/ended"))["ended"]
    assert [(one["outcome"], one["error_type"], one["count"], one["mean_s"]) for one in found] == [
        ("success", None, 5, 0.1),
        ("failed", "Boom", 3, 0.8),
    ]
    assert (await api.found("/v1/stats/ended", since="3h", type="mail"))["ended"][0]["error_type"] == "Old"
    assert (await api.found("/v1/stats/ended", type="other")) == {"ended": [], "more": False}


def test_a_dead_letter_with_its_number_of_attempts_can_be_shown() -> None:
    assert Hiding(["password"]).object({"attempts": 2, "body": {"password": "x"}})["attempts"] == 2


async def test_whoever_has_the_answer_is_told_so(api: Served, two: Two) -> None:
    await end(two.a, await two.started(retries=0, message=task("a")), BOOM)
    first = await api.get("/v1/tasks?status=failed")
    again = await api.get("/v1/tasks?status=failed", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await end(two.a, await two.started(retries=0, message=task("b")), BOOM)
    plain = await api.get("/v1/tasks?status=failed")
    assert len(plain.json()["tasks"]) == 2, "a question without an ETag is answered anew"
    polled = await api.get("/v1/tasks?status=failed", headers={"If-None-Match": first.headers["etag"]})
    assert polled.json() == plain.json(), "time does not go backwards"


async def test_who_polls_sees_news_within_seconds(api: Served, two: Two) -> None:
    first = await api.get("/v1/tasks")
    held = {"If-None-Match": first.headers["etag"]}
    await end(two.a, await two.started(message=task("a")), Succeeded(result=None))
    async with asyncio.timeout(30):
        while (await api.get("/v1/tasks", headers=held)).status_code == 304:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("path", "act"),
    [
        ("/v1/stats", "types/mail/pause"),
        ("/v1/pauses", "types/mail/pause"),
        ("/v1/stats", "tasks/t/cancel"),
        ("/v1/tasks?status=cancelled", "tasks/t/cancel"),
        ("/v1/stats", "tasks/f/retry"),
        ("/v1/tasks/f", "tasks/f/retry"),
    ],
)
async def test_what_people_do_is_seen_at_once(api: Served, two: Two, path: str, act: str) -> None:
    await two.retrying()
    await end(two.a, await two.started(retries=0, message=task("f")), BOOM)
    before = await api.get(path)
    held = {"If-None-Match": before.headers["etag"]}
    assert (await api.get(path, headers=held)).status_code == 304
    assert (await api.post(f"/v1/{act}")).status_code < 300
    assert (await api.get(path, headers=held)).json() != before.json()


@pytest.mark.parametrize("path", ["/v1/me", "/v1/stats/ended?since=soon", "/v1/stats/ended?nope=1"])
async def test_questions_that_cannot_be(api: Served, path: str) -> None:
    response = await api.get(path, params={"nope": "1"} if path == "/v1/me" else None)
    assert problem(response) == (400, "bad-request")
