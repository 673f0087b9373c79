"""`gridsidecar run -- CMD`: the default handler from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.cli import gridsidecar, work, write_config

UPPER = ["sh", "-c", """jq -c '{gs:1,type:"result",result:(.data|ascii_upcase)}'"""]
BURST = ("run", "--burst", "--burst-check-interval", "0.1")


def result(folder: Path, env: Mapping[str, str] | None = None) -> Any:
    return json.loads(gridsidecar(folder, "status", "a", "--json", env=env).stdout)["result"]


def test_without_a_file_variables_say_the_rest(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    env = {"GRID_ASYNC_TASK_AMQP_URL": url, "GRID_ASYNC_TASK_MYSQL_URL": url}
    assert gridsidecar(tmp_path, "submit", "--id", "a", "--data", '"x"', env=env).returncode == 0
    done = gridsidecar(tmp_path, *BURST, "--", *UPPER, env=env)
    assert done.returncode == 0, done.stderr
    assert result(tmp_path, env) == "X"


def test_a_file_that_only_lies_there_lends_no_mode(tmp_path: Path) -> None:
    """Nobody said that this command stays, or sends events."""
    write_config(tmp_path, {"default": {"command": ["cat"], "mode": "persistent", "channel": "events"}})
    gridsidecar(tmp_path, "submit", "--id", "a", "--data", '"x"')
    work(tmp_path, "--", *UPPER)
    assert result(tmp_path) == "X"


def test_a_file_that_is_named_lends_all_but_the_command(tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["false"], "env": {"WORD": "from the file"}}})
    gridsidecar(tmp_path, "submit", "--id", "a")
    say = """printf '{"gs":1,"type":"result","result":"%s"}\\n' "$WORD" """
    work(tmp_path, "-c", "config.yaml", "--", "sh", "-c", say)
    assert result(tmp_path) == "from the file"


def test_without_a_command_and_a_file_it_says_what_is_missing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    env = {"GRID_ASYNC_TASK_AMQP_URL": url, "GRID_ASYNC_TASK_MYSQL_URL": url}
    done = gridsidecar(tmp_path, *BURST, env=env)
    assert done.returncode == 78
    assert "handlers: is required" in done.stderr
    assert "after -- on the command line" in done.stderr
