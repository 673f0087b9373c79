"""`--server`: commands ask an API and say what they say of the database; and what is wrong is told by its name."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.cli import Finished, environment, gridsidecar
from tests.support.place import Place
from tests.support.waiting import eventually

ADMIN, READER = "admin-0123456789abcdef", "reader-0123456789abcdef"
HANDLERS: dict[str, dict[str, Any]] = {
    "good": {"command": ["sh", "-c", "cat > /dev/null; echo hello; echo end >&2"]},
    "bad": {"command": ["sh", "-c", "echo no luck >&2; exit 3"]},
}


class Both:
    """Runs a command on the servers of a configuration, or on the API of the worker there."""

    def __init__(self, place: Place, url: str) -> None:
        self.folder = place.folder
        self.url = url
        self.elsewhere = place.folder / "elsewhere"  # where there is no configuration
        self.elsewhere.mkdir()

    async def direct(self, *arguments: str) -> Finished:
        return await asyncio.to_thread(gridsidecar, self.folder, *arguments)

    async def remote(self, *arguments: str, token: str | None = ADMIN, **more: Any) -> Finished:
        variables = {"GRIDSIDECAR_SERVER": self.url, **({} if token is None else {"GRIDSIDECAR_HTTP_TOKEN": token})}
        return await asyncio.to_thread(gridsidecar, self.elsewhere, *arguments, env=variables, **more)


@pytest.fixture
async def both(any_place: Place, start: Start) -> Both:
    http = {"listen": "127.0.0.1:0", "token": ADMIN, "read_token": READER}
    config = any_place.config(HANDLERS, http=http, callbacks={"max_retries": 0}, retry={"max_retries": 0})
    (any_place.folder / "config.yaml").write_text(json.dumps({**config, "http": {}}))
    sidecar = start(config)
    await sidecar.ready()
    url = next(word[4:] for word in sidecar.text.split() if word.startswith("url=http"))
    return Both(any_place, url)


def lines(done: Finished) -> list[str]:
    """What is said, without moments that go on and the place where it was found."""
    return [line for line in done.stdout.splitlines() if "alive" not in line]


def without_seconds(text: str) -> str:
    return re.sub(r"[ 0-9]+\.\d s", "", text)


@pytest.mark.timeout(400)
async def test_the_same_answers(both: Both) -> None:
    sent = await both.remote(
        "submit", "-", stdin='{"task_id": "g", "task_type": "good"}\n{"task_type": "no', token=ADMIN
    )
    assert (sent.returncode, sent.stdout) == (1, "g\n")
    assert "line 2: it is not JSON" in sent.stderr
    waited = await both.remote("submit", "--id", "b", "--type", "bad", "--wait")
    assert waited.returncode == 1
    assert "failed" in waited.stderr
    assert (await both.remote("submit", "--id", "b", "--data", "5")).returncode == 1
    for arguments in (
        ["status", "g", "b"],
        ["status", "--json", "g"],
        ["tasks", "list"],
        ["tasks", "list", "--json", "--status", "failed", "--limit", "1"],
        ["logs", "g"],
        ["logs", "--json", "b"],
        ["logs", "--follow", "g"],
        ["stats"],
        ["queue-info", "--json"],
        ["callbacks", "list"],
        ["dead", "list"],
        ["tasks", "retry", "--dry-run", "--type", "bad"],
        ["tasks", "retry", "--dry-run", "--json", "b", "g"],
        ["status", "--watch", "g"],
    ):
        direct, remote = await asyncio.gather(both.direct(*arguments), both.remote(*arguments))
        assert lines(remote) == lines(direct), arguments
        assert remote.returncode == direct.returncode, arguments
        assert without_seconds(remote.stderr) == without_seconds(direct.stderr), arguments
    assert "no luck" in (await both.remote("logs", "b")).stdout
    unknown = await both.remote("status", "nobody")
    assert (unknown.returncode, unknown.stderr.split(";")[0]) == (1, f"no task nobody in {both.url}")


@pytest.mark.timeout(400)
async def test_a_callback_is_shown_and_dropped(both: Both) -> None:
    line = json.dumps({"task_id": "c", "task_type": "good", "callback_url": "http://127.0.0.1:9/x"})
    assert (await both.remote("submit", "-", "--wait", stdin=line)).returncode == 0
    await eventually_given_up(both)
    for which in (["list", "--dead", "--json"], ["show", "c"], ["show", "x"]):
        arguments = ["callbacks", *which]
        direct, remote = await asyncio.gather(both.direct(*arguments), both.remote(*arguments))
        assert (remote.stdout, remote.stderr, remote.returncode) == (direct.stdout, direct.stderr, direct.returncode)
    shown = json.loads((await both.remote("callbacks", "show", "--json", "c")).stdout)
    assert json.loads(shown["body"])["status"] == "success"
    asked = await both.remote("callbacks", "drop", "--dead", token=ADMIN)
    assert (asked.returncode, "it needs --yes" in asked.stderr) == (64, True)
    refused = await both.remote("callbacks", "drop", "c", token=READER)
    assert refused.returncode == 77, refused.stderr
    dropped = await both.remote("callbacks", "drop", "c", "x", token=ADMIN)
    assert (dropped.returncode, dropped.stderr.splitlines()[-1]) == (1, "1 dropped")
    assert "no such callbacks" in (await both.direct("callbacks", "list")).stderr


async def eventually_given_up(both: Both) -> None:
    async def given_up() -> bool:
        return bool((await both.direct("callbacks", "list", "--dead", "--json")).stdout)

    await eventually(given_up, timeout=60)


@pytest.mark.timeout(400)
async def test_tasks_are_steered(both: Both) -> None:
    ids = [f"b{number}" for number in range(3)]
    text = "\n".join(json.dumps({"task_id": one, "task_type": "bad"}) for one in ids)
    assert (await both.remote("submit", "-", "--wait", stdin=text)).returncode == 1
    again = await both.remote("tasks", "retry", "--type", "bad", "--yes")
    assert again.returncode == 0, again.stderr
    assert sorted(again.stdout.splitlines()) == [f"{one}  runs again" for one in ids]
    assert "retry 3 tasks (failed; queue" in again.stderr
    assert "3 tasks: 3 to run again" in again.stderr
    operation = (await both.remote("operations", "list", "--json")).stdout
    shown = await both.remote("operations", "show", json.loads(operation)["operation"])
    assert "3/3" in shown.stdout
    noted = await both.remote("tasks", "cancel", "later")
    assert (noted.returncode, noted.stdout) == (0, "later  not known yet, will not run when it comes\n")
    nothing = await both.remote("tasks", "cancel", "--type", "nothing", "--since", "2026-01-02 03:04:05Z", "--yes")
    assert (nothing.returncode, nothing.stderr.startswith("no such tasks (pending, retrying, running; queue")) == (
        0,
        True,
    )
    assert nothing.stderr.endswith("; type nothing; since 2026-01-02 03:04:05 UTC)\n")
    assert (await both.remote("pause", "bad", "--reason", "a move")).stdout == "bad\n"
    assert "a move" in (await both.direct("stats")).stdout
    assert (await both.remote("resume", "bad")).returncode == 0
    never = await both.remote("resume", "bad")
    assert (never.returncode, never.stderr) == (1, "bad is not paused\n")


@pytest.mark.timeout(400)
async def test_who_may(both: Both) -> None:
    for token, arguments, words in (
        (None, ["stats"], "The token is missing"),
        ("wrong", ["stats"], "The token is wrong"),
        (READER, ["pause", "bad"], "may read only"),
    ):
        done = await both.remote(*arguments, token=token)
        assert (done.returncode, done.stdout) == (77, "")
        assert words in done.stderr
        assert "GRIDSIDECAR_HTTP_TOKEN" in done.stderr
        assert done.stderr.count("\n") == 1
    assert (await both.remote("stats", token=READER)).returncode == 0
    (both.elsewhere / "token").write_text(f"{READER}\n")
    variables = {"GRIDSIDECAR_HTTP_TOKEN_FILE": "token"}
    done = await asyncio.to_thread(gridsidecar, both.elsewhere, "stats", "--server", both.url, env=variables)
    assert done.returncode == 0, done.stderr
    variables = {"GRIDSIDECAR_HTTP_TOKEN_FILE": "nowhere"}
    done = await asyncio.to_thread(gridsidecar, both.elsewhere, "stats", "--server", both.url, env=variables)
    assert (done.returncode, "cannot read nowhere" in done.stderr) == (64, True)


ANSWERS = {
    "not an API": (b"200 OK", b"text/html", b"<html>"),
    "some other API": (b"404 Not Found", b"application/json", b'{"error": "no such page"}'),
    "not JSON": (b"200 OK", b"application/json", b"{"),
    "elsewhere": (b"302 Found", b"application/json", b"{}"),
    "old": (
        b"404 Not Found",
        b"application/problem+json",
        b'{"type": "urn:gridsidecar:problem:unknown-path", "title": "", "status": 404, "detail": "nothing"}',
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_server_that_is_none(tmp_path: Path, name: str) -> None:
    status, kind, body = ANSWERS[name]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        done = await asyncio.to_thread(gridsidecar, tmp_path, "stats", "--server", f"http://127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (77, "")
    words = "it is of an earlier version" if name == "old" else "is not the API"
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["stats", "--server", "http://127.0.0.1:9"], 69, "is away"),
        (["status", "--watch", "x", "--server", "http://127.0.0.1:9"], 69, "is away"),
        (["submit", "--data", "1", "--server", "http://127.0.0.1:9"], 69, "is away"),
        (["stats", "--server", "localhost:8080"], 64, "--server: the URL must start with"),
        (["stats", "--server", ""], 64, "--server: the URL must start with"),
        (["stats", "--server", "http://x", "-c", "config.yaml"], 64, "--server and --config exclude each other"),
        (["queue-info", "--server", "http://x", "-u", "amqp://x"], 64, "--server and --url exclude each other"),
        (["pause", "x", "--server", "http://x", "-q", "other"], 64, "--server and --queue exclude each other"),
        (["migrate", "--server", "http://x"], 64, "migrate works on the servers of a configuration"),
        (["purge-queue", "--server", "http://x"], 64, "purge-queue works on the servers of a configuration"),
        (["doctor", "--server", "http://x"], 64, "doctor works on the servers of a configuration"),
        (["run", "--server", "http://x"], 64, "run works on the servers of a configuration"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = gridsidecar(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "token", "words"),
    [
        (["stats"], "令牌", "GRIDSIDECAR_HTTP_TOKEN holds characters that no token of an API has"),
        (["status", "\udcff"], ADMIN, "it is not UTF-8"),
        (["tasks", "list", "--type", "\udcff"], ADMIN, "it is not UTF-8"),
        (["dead", "show", "\udcff"], ADMIN, "it is not UTF-8"),
        (["callbacks", "drop", "\udcff"], ADMIN, "it is not UTF-8"),
    ],
)
def test_what_no_request_can_hold(tmp_path: Path, arguments: list[str], token: str, words: str) -> None:
    variables = {"GRIDSIDECAR_SERVER": "http://127.0.0.1:9", "GRIDSIDECAR_HTTP_TOKEN": token}
    done = gridsidecar(tmp_path, *arguments, env=variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1), done.stderr
    assert words in done.stderr


def test_a_named_configuration_counts_more_than_the_variable(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "stats", "-c", "nowhere.yaml", env={"GRIDSIDECAR_SERVER": "http://127.0.0.1:9"})
    assert done.returncode == 78
    assert "nowhere.yaml" in done.stderr


async def test_nothing_of_the_server_is_loaded(both: Both) -> None:
    """Nor by commands that ask the database."""
    program = (
        "import sys\nfrom gridsidecar.cli import main\nsys.argv = ['gridsidecar', 'stats']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "bad = {'starlette', 'uvicorn', 'gridsidecar.http'} & set(sys.modules)\n"
        "if not any(name.startswith('GRIDSIDECAR_SERVER') for name in __import__('os').environ):\n"
        "    bad |= {'httpcore', 'httpx', 'gridsidecar.fleet.remote'} & set(sys.modules)\n"
        "print(sorted(bad), file=sys.stderr)\n"
    )
    variables = {"GRIDSIDECAR_SERVER": both.url, "GRIDSIDECAR_HTTP_TOKEN": ADMIN}
    for folder, extra in ((both.folder, {}), (both.elsewhere, variables)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=folder, env=environment(folder, extra),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert b"workers" in out, err
        assert err.decode().splitlines()[-1] == "[]"


async def test_a_server_that_comes_back_is_waited_for(both: Both) -> None:
    """As a database is."""
    waiting = asyncio.create_task(both.remote("logs", "--follow", "late"))
    await asyncio.sleep(0)
    assert (await both.remote("submit", "--id", "late", "--type", "good")).returncode == 0
    done = await waiting
    assert (done.returncode, "hello" in done.stdout) == (0, True)
    await eventually(lambda: "attempt 1 ended: success" in done.stderr)
