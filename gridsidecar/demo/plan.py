"""The demo's tasks, how each must end, and the configuration that runs them."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

QUEUE = "demo"
ORPHANED_AFTER = 60  # seconds without work until a sidecar whose demo was killed leaves by itself


class DemoTask(Struct, frozen=True, kw_only=True):
    """One task of the demo: its handler, and how it must end."""

    name: str  # task id and task type
    handler: str  # for people
    data: Any
    status: str = "success"
    attempts: int = 1
    error_type: str | None = None
    settings: dict[str, Any]


def tasks(folder: Path, node: str | None) -> list[DemoTask]:
    """All tasks; `node` is the path of Node, None where there is none."""
    scripts = folder / "handlers"
    return [*_with_progress(scripts), *_with_failures(scripts), _any_program(), *_in_node(scripts, node)]


def _with_progress(scripts: Path) -> list[DemoTask]:
    images = [f"photo-{number}.jpg" for number in range(1, 11)]
    return [
        DemoTask(
            name="thumbnails",
            handler="Python",
            data={"images": images},
            settings=_script(sys.executable, scripts / "thumbnails.py"),
        ),
        DemoTask(
            name="report",
            handler="shell",
            data={"month": "May"},
            settings=_script("sh", scripts / "report.sh"),
        ),
    ]


def _with_failures(scripts: Path) -> list[DemoTask]:
    return [
        DemoTask(
            name="payment",
            handler="shell",
            data={"order": 17},
            attempts=2,
            settings=_script("sh", scripts / "flaky.sh", retry={"max_retries": 3, "delay": 1}),
        ),
        DemoTask(
            name="invoice",
            handler="Python",
            data={"amount": -5},
            status="failed",
            error_type="InvalidInvoice",
            settings=_script(sys.executable, scripts / "invoice.py", retry={"max_retries": 3}),
        ),
        DemoTask(
            name="stuck",
            handler="shell",
            data=None,
            status="failed",
            error_type="TimeoutError",
            settings=_script("sh", scripts / "stuck.sh", timeout=2),
        ),
    ]


def _any_program() -> DemoTask:
    return DemoTask(
        name="wordcount",
        handler="wc -w",
        data="a program that knows nothing of tasks",
        settings={"command": ["wc", "-w"], "input": "data", "result_from": "stdout"},
    )


def _in_node(scripts: Path, node: str | None) -> list[DemoTask]:
    if node is None:
        return []
    items = [{"name": "tea", "price": 4, "count": 3}, {"name": "cups", "price": 2.5, "count": 12}]
    settings = _script(node, scripts / "prices.js")
    return [DemoTask(name="prices", handler="Node", data={"items": items}, settings=settings)]


def _script(program: str, script: Path, **settings: Any) -> dict[str, Any]:
    return {"command": [program, str(script)], "kill_grace": 1, **settings}


def find_node() -> str | None:
    """The path of Node."""
    return shutil.which("node") or shutil.which("nodejs")


def lay_out(folder: Path, planned: list[DemoTask], *, listen: bool = False) -> Path:
    """Copy the handlers into the folder and write the configuration; its path. With
    `listen` its page is on a free port."""
    handlers = folder / "handlers"
    handlers.mkdir()
    for source in files("gridsidecar.demo").joinpath("handlers").iterdir():
        if source.is_file():
            (handlers / source.name).write_bytes(source.read_bytes())
    url = f"sqlite:///{quote(str(folder / 'demo.db'))}"
    config = {
        "broker": {"url": url, "queue": QUEUE},
        # Named, so that variables of a real installation do not change them when the demo is kept.
        "store": {"url": url, "table_prefix": "demo_", "table_name": "tasks"},
        "worker": {"concurrency": 4, "idle_timeout": ORPHANED_AFTER, "shutdown_grace": 0},
        "handlers": {task.name: task.settings for task in planned},
        "progress_interval": 0.2,
        **({"http": {"listen": "127.0.0.1:0"}} if listen else {}),
    }
    path = folder / "config.yaml"
    path.write_text(_yaml(config))
    return path


def _yaml(config: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)


def message(task: DemoTask) -> dict[str, Any]:
    """What a producer would send."""
    return {"task_id": task.name, "task_type": task.name, "data": task.data}
