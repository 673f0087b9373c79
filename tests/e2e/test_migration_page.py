"""What `docs/migration.md` names for those who come from other queues is there, and does what the page says."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest

from gridsidecar.config.schema_text import known_keys
from gridsidecar.config.template import parse
from tests.support.cli import ROOT, Finished, gridsidecar
from tests.support.place import Place

PAGES = {"migration.md": "## From other queues", "migration.zh-CN.md": "## 从其他队列迁移"}
BURST = "gridsidecar run --burst"
# In an order in which each has something to do; then what it needs beside what the page says, and what comes of it. The
# page's ID is the id of a task.
WALK: tuple[tuple[str, str, str], ...] = (
    ("gridsidecar tasks cancel ID", "", r"^ID +not known yet, will not run when it comes"),
    (BURST, "--burst-check-interval 0.1", r"queue is empty"),
    ("gridsidecar tasks retry ID", "", r"^ID +runs again"),
    (BURST, "--burst-check-interval 0.1", r"task failed"),
    ("gridsidecar tasks list --type resize --status failed", "", r"^ID +resize +failed"),
    ("gridsidecar stats", "", r"^resize +failed +1"),
    ("gridsidecar dead list", "", r"^ID .* failed +"),
    ("gridsidecar dead replay ID", "", r"^ID$"),
    (BURST, "--burst-check-interval 0.1", r"task failed"),
    ("gridsidecar tasks retry --status failed --type resize --since 2h", "--dry-run", r"^ID +would run again"),
    ("gridsidecar tasks retry --status failed --type resize --since 2h", "--over 10m --yes", r"^ID +runs again"),
    ("gridsidecar pause resize --until 2h", "", r"^paused until "),
    ("gridsidecar resume resize", "", r"^resize$"),
    ("gridsidecar submit --defer-by 60", "--id later --type resize", r"^later$"),
)


def table(page: str) -> list[tuple[str, str]]:
    """The cells of the page's table, row by row."""
    text = (ROOT / "docs" / page).read_text()
    part = text.partition(f"\n{PAGES[page]}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines[1:]]
    assert rows
    assert all(len(row) == 2 for row in rows), rows
    return [(row[0], row[1]) for row in rows]


def named(page: str) -> list[str]:
    """What stands in backticks on the right."""
    return [words for _, here in table(page) for words in re.findall(r"`([^`]+)`", here)]


def commands(page: str) -> set[str]:
    return {words for words in named(page) if words.startswith("gridsidecar ")}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_table_is_walked(page: str) -> None:
    assert commands(page) == {command for command, *_ in WALK}


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_of_the_table_exists(page: str) -> None:
    settings = set()
    for words in named(page):
        key = words.split(":")[0]
        path = ["resize" if part == "NAME" else part for part in key.split(".")]
        if path[0] in known_keys(()) and not words.startswith("gridsidecar "):
            for depth in range(1, len(path)):
                if path[:depth] != ["handlers"]:
                    assert path[depth] in known_keys(tuple(path[:depth])), words
            settings.add(key)
    assert {"broker.dead_letter_failed", "handlers.NAME.rate", "handlers.NAME.breaker", "notify", "hooks"} <= settings


@pytest.mark.parametrize("page", PAGES)
def test_every_template_of_the_table_can_be_read(page: str) -> None:
    templates = [json.loads(words.partition(": ")[2])[0] for words in named(page) if words.startswith("to: ")]
    assert templates
    assert all(parse(one).has_fields for one in templates)


@pytest.mark.timeout(300)
async def test_the_commands_of_the_table_do_what_it_says(any_place: Place) -> None:
    place = any_place
    handler = place.job("exit", 3, retry={"max_retries": 0})
    config = place.config({"resize": handler}, broker={"dead_letter_failed": True}, log={"level": "INFO"})
    (place.folder / "config.yaml").write_text(json.dumps(config))
    await place.publish({"task_id": "ID", "task_type": "resize"})
    for words, more, expected in WALK:
        done = await asyncio.to_thread(_run, place.folder, f"{words} {more}")
        assert done.returncode == 0, (words, done)
        assert re.search(expected, done.stdout + done.stderr, re.M), (words, done)
    assert place.status("ID") == "pending", "its start is spread"


def _run(folder: Path, words: str) -> Finished:
    return gridsidecar(folder, *shlex.split(words)[1:])
