"""protocol/openapi.yaml: it says what the server does, and requests made from it find nothing that breaks."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
import yaml

from gridsidecar.http import ENDPOINTS
from gridsidecar.http.access import Access
from tests.http.conftest import ADMIN, Serve
from tests.store.workers import BOOM, Two, end, task

ROOT = Path(__file__).parents[2]
FILE = ROOT / "protocol" / "openapi.yaml"
PARTS = {  # a stream about a task that nobody runs would be listened to for ever, so none is sent there
    "tasks": ("--include-path-regex", "^/v1/tasks", "--exclude-path-regex", "/events$"),
    "events": ("--include-path-regex", "/events$"),
    "the rest": ("--exclude-path-regex", "^/v1/tasks"),
}
EXAMPLES = 5  # requests of each kind that are tried, for each endpoint


def test_every_endpoint_is_described_and_nothing_else() -> None:
    paths = yaml.safe_load(FILE.read_text())["paths"]
    described = {
        (method.upper(), path) for path, item in paths.items() for method in item if method in ("get", "post", "delete")
    }
    assert described == {(one.method, one.path) for one in ENDPOINTS if one.path.startswith("/v1/")}
    assert all(one.access is not Access.OPEN for one in ENDPOINTS if one.path.startswith("/v1/"))


@pytest.mark.timeout(900)  # some thousand requests, beside whatever else runs
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)
async def test_requests_made_from_the_description(
    serve: Serve, two: Two, tmp_path: Path, part: tuple[str, ...]
) -> None:
    await end(two.a, await two.started(retries=0, message=task("failed")), BOOM)
    await two.started(message=task("running"))
    async with serve(token=ADMIN) as api:
        found = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "schemathesis"), "run", str(FILE), "--url", api.url),
            *("--checks", "all", "--max-examples", str(EXAMPLES), "--header", f"Authorization: Bearer {ADMIN}"),
            *("--phases", "coverage,fuzzing", "--seed", "1", "--no-color", "--request-timeout", "20"),
            *part,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        report, _ = await found.communicate()
    assert found.returncode == 0, report.decode()[-12_000:]


@pytest.mark.parametrize("page", ["docs/migration.md", "docs/migration.zh-CN.md"])
def test_every_request_that_the_page_for_newcomers_names_is_there(page: str) -> None:
    named = re.findall(r"`(GET|POST) (/[^`]*)`", (ROOT / page).read_text())
    assert len(named) > 20
    assert set(named) <= {(one.method, one.path) for one in ENDPOINTS}
