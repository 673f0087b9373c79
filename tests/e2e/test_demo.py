"""`gridsidecar demo`: it ends well, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support.cli import command, end, environment, gridsidecar, on_terminal, start
from tests.support.waiting import eventually

ROWS = {
    "thumbnails": r"Python +success +1 .*\"made\": 10",
    "report": r"shell +success +1 .*\"chapters\": 4",
    "payment": r"shell +success +2 .*paid at attempt 2",
    "invoice": r"Python +failed +1 .*InvalidInvoice: amount is -5",
    "stuck": r"shell +failed +1 .*TimeoutError: timed out after 2 s",
    "wordcount": r"wc -w +success +1 .* 7$",
}
NODE = {"prices": r"Node +success +1 .*\"total\": 42"}


def processes(folder: Path) -> list[str]:
    """What still runs on files of this folder, sidecar and handlers."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder) in line or where.startswith(str(folder)):
            found.append(f"{entry.name}: {line}")
    return found


def test_every_task_ends_as_it_should(tmp_path: Path) -> None:
    started = time.monotonic()
    done = gridsidecar(tmp_path, "demo")
    assert time.monotonic() - started < 60
    assert done.returncode == 0, done.stderr
    expected = ROWS | (NODE if shutil.which("node") or shutil.which("nodejs") else {})
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["task", "handler", "status", "attempts", "time", "result", "or", "error"]
    assert [row.split()[0] for row in rows] == list(expected)
    for row in rows:
        assert re.search(expected[row.split()[0]], row), row
    assert f"All {len(expected)} tasks ended as they should" in done.stderr
    assert re.search(r"^ +[0-9.]+ s  thumbnails  Python +[0-9]+ %  running: resized photo-", done.stderr, re.M)
    assert "payment     shell   retry in" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


def test_without_node_it_says_so(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "sleep", "wc"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = gridsidecar(tmp_path, "demo", env={"PATH": str(tools)})
    assert done.returncode == 0, done.stderr
    assert "Node is not installed, so its handler is left out" in done.stderr
    assert "prices" not in done.stdout


def test_keep(tmp_path: Path) -> None:
    # Settings of a real installation around it must not matter.
    (tmp_path / ".env").write_text("GRID_ASYNC_TASK_TABLE_PREFIX=other_\n")
    env = {"GRID_ASYNC_TASK_AMQP_URL": "amqp://127.0.0.1:1/", "RABBITMQ_HOST": "127.0.0.1", "LOG_LEVEL": "nonsense"}
    done = gridsidecar(tmp_path, "demo", "--keep", env=env)
    assert done.returncode == 0, done.stderr
    (kept,) = tmp_path.glob("gridsidecar-demo-*")
    assert f"Kept in {kept}" in done.stderr
    assert (kept / "handlers" / "thumbnails.py").is_file()
    done = gridsidecar(tmp_path, "status", "-c", str(kept / "config.yaml"), "payment")
    assert done.returncode == 0
    assert "the payment service did not answer" in done.stdout
    assert processes(tmp_path) == []


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_on_a_terminal_there_are_bars(tmp_path: Path, env: dict[str, str]) -> None:
    code, written = on_terminal(tmp_path, "demo", env=env)
    assert code == 0
    assert ("━━━" in written) is ("PYTHONIOENCODING" not in env)
    assert ("\x1b[32m" in written) is ("NO_COLOR" not in env)
    assert "\\u" not in written
    assert "All " in written
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_cleans_up(tmp_path: Path) -> None:
    code, written = on_terminal(tmp_path, "demo", interrupt_at="resized photo-")
    assert code == 130
    assert "Traceback" not in written
    assert "\x1b[?25h" in written  # the cursor is back
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


async def test_sigterm_cleans_up(tmp_path: Path) -> None:
    process = start(tmp_path, "demo")
    await eventually(lambda: len(processes(tmp_path)) > 3)  # the demo, its sidecar, handlers
    assert end(process) == 143
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


async def test_its_page_goes_on_until_ctrl_c(tmp_path: Path) -> None:
    process = start(tmp_path, "demo", "--page", stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    told = next(line for line in process.stderr if "http://" in line)
    url = re.search(r"http://[\d.:]+/", told)
    assert url is not None
    with httpx.Client(base_url=url[0], timeout=10) as client:
        assert "page/main.js" in client.get("").text
        await eventually(lambda: len(client.get("v1/tasks").json()["tasks"]) >= 2)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr.strip()) == (0, "Stopped.")
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


async def test_a_sidecar_that_dies_is_told_with_its_log(tmp_path: Path) -> None:
    process = start(tmp_path, "demo")

    def sidecar() -> int | None:
        lines = [line for line in processes(tmp_path) if "gridsidecar run -c" in line]
        log = next(tmp_path.glob("gridsidecar-demo-*/sidecar.log"), None)
        return int(lines[0].split(":")[0]) if lines and log and "consuming" in log.read_text() else None

    os.kill(await eventually(sidecar), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (1, "")
    assert "the demo's sidecar ended with -9; the end of its log:" in stderr
    assert "consuming" in stderr
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_handlers_and_page_are_in_the_wheel(tmp_path: Path) -> None:
    """They are data to the packager: nothing imports them."""
    root = Path(__file__).parents[2]
    handlers = sorted(path.name for path in (root / "gridsidecar/demo/handlers").iterdir() if path.is_file())
    done = subprocess.run(
        [*command()[:2], "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(root)],
        capture_output=True,
        text=True,
        env=environment(tmp_path) | {name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    described = (tmp_path / "unpacked" / "gridsidecar" / "http" / "openapi.yaml").read_text()
    assert described == (root / "protocol" / "openapi.yaml").read_text()
    packed = tmp_path / "unpacked/gridsidecar/demo/handlers"
    assert sorted(path.name for path in packed.iterdir()) == handlers
    assert len(handlers) == 6
    page = root / "gridsidecar/http/page"
    files = {str(path.relative_to(page)) for path in page.rglob("*") if path.is_file()}
    packed = tmp_path / "unpacked/gridsidecar/http/page"
    assert {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()} == files
