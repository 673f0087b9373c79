"""What a sidecar says: in which language, into which files, and with which figures."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.language.chinese.log import CHINESE
from gridsidecar.telemetry.file import LARGEST, NAME
from tests.e2e.conftest import Start
from tests.support import cli
from tests.support.log_files import as_on_stderr
from tests.support.mounts import read_only, small_disk
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

BURST = ("--burst", "--burst-check-interval", "0.1")
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} [A-Z]+ +(?P<words>.*?)(  (?P<fields>\S+=.*))?")


async def mixed_run(place: Place, start: Start, **log: Any) -> Sidecar:
    """Three tasks that succeed, one of them at the second try, one that fails, and one that nobody can read."""
    handlers = {"default": place.job("done"), "flaky": place.job("flaky", 2), "bad": place.job("exit", 1)}
    await place.publish_bodies(b"not a task")
    await place.publish(
        {"task_id": "a"},
        {"task_id": "b"},
        {"task_id": "c", "task_type": "flaky", "max_retry_count": 1},
        {"task_id": "d", "task_type": "bad"},
    )
    sidecar = start(place.config(handlers, retry={"delay": 0}, log={"level": "INFO", **log}))
    await eventually(lambda: place.all_ended(4))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    return sidecar


def words(text: str) -> list[str]:
    """The words of each line, without time, level and fields."""
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(matches), text
    return [match["words"] for match in matches if match]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# -- language ---------------------------------------------------------------------------------------------------------


async def test_a_chinese_run_speaks_chinese(embedded_place: Place, start: Start) -> None:
    sidecar = await mixed_run(embedded_place, start, language="zh")
    said = Counter(words(sidecar.text))
    assert set(said) <= set(CHINESE.values())
    assert (said["任务成功"], said["任务失败"], said["任务等待重试"]) == (3, 1, 1)
    assert said["开始消费"] == said["准备退出"] == said["统计"] == said["消息被拒绝"] == 1
    assert "task_id=a type=default attempt=1" in sidecar.text


async def test_english_is_the_default(embedded_place: Place, start: Start) -> None:
    sidecar = await mixed_run(embedded_place, start)
    assert set(words(sidecar.text)) <= CHINESE.keys()
    assert words(sidecar.text).count("task success") == 3


async def test_chinese_json_keeps_the_english_name(embedded_place: Place, start: Start) -> None:
    sidecar = await mixed_run(embedded_place, start, language="zh", format="json")
    lines = objects(sidecar.text)
    assert [line["message"] for line in lines] == [CHINESE[line["event"]] for line in lines]
    assert Counter(line["event"] for line in lines)["task success"] == 3
    assert '"message": "任务成功"' in sidecar.text, "readable without a decoder, too"


async def test_english_json_has_no_second_text(embedded_place: Place, start: Start) -> None:
    sidecar = await mixed_run(embedded_place, start, format="json")
    assert not any("message" in line for line in objects(sidecar.text))


def test_a_terminal_without_chinese_characters_gets_json_all_the_same(tmp_path: Path) -> None:
    cli.write_config(tmp_path, {"default": {"command": ["true"]}}, log={"language": "zh", "format": "json"})
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = cli.gridsidecar(tmp_path, "run", *BURST, env=ascii_only)
    assert done.stderr.isascii()
    assert [each["message"] for each in objects(done.stderr)][:2] == ["找到配置文件", "开始消费"]


def test_what_is_said_of_the_variables_is_chinese_too(tmp_path: Path) -> None:
    cli.write_config(tmp_path, {"default": {"command": ["true"]}}, log={"language": "zh"})
    done = cli.gridsidecar(tmp_path, "run", *BURST, env={"GRID_ASYNC_TASK_TIMEOUT": "1"})
    assert "环境变量不生效  variable=GRID_ASYNC_TASK_TIMEOUT" in done.stderr


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [{"format": "json"}, {"language": "zh"}])
async def test_the_file_says_what_stderr_says(embedded_place: Place, start: Start, log: dict[str, str]) -> None:
    folder = embedded_place.folder / "logs"
    sidecar = await mixed_run(embedded_place, start, dir=str(folder), **log)
    assert as_on_stderr((folder / NAME).read_text(encoding="utf-8")) == sidecar.text


async def test_two_sidecars_share_a_file_and_rotate_it(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    folder = place.folder / "logs"
    folder.mkdir()
    filler = "x" * 1023 + "\n"
    (folder / NAME).write_text(filler * (LARGEST // len(filler) - 5))  # 5 KiB are free
    config = place.config({"default": place.job("done")}, log={"level": "INFO", "format": "json", "dir": str(folder)})
    sidecars = [start(config), start(config)]
    for sidecar in sidecars:
        await sidecar.ready()
    await place.publish(*({"task_id": f"t{number}"} for number in range(60)))
    await eventually(lambda: place.all_ended(60), timeout=60)
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    old, new = (folder / f"{NAME}.1").read_text(), (folder / NAME).read_text()
    written = [line for line in (old + new).splitlines(keepends=True) if line != filler]
    assert Counter(written) == Counter("".join(sidecar.text for sidecar in sidecars).splitlines(keepends=True))
    assert LARGEST - 1024 <= len(old) <= LARGEST + 1024
    assert new


async def test_a_read_only_folder_costs_no_task(embedded_place: Place, start: Start) -> None:
    with read_only(embedded_place.folder / "logs") as folder:
        sidecar = await mixed_run(embedded_place, start, dir=str(folder))
    assert embedded_place.statuses() == {"success": 3, "failed": 1}
    assert_told_once(sidecar, "Read-only file system")


async def test_a_full_disk_costs_no_task(embedded_place: Place, start: Start) -> None:
    with small_disk(embedded_place.folder / "logs", "64k") as folder:
        (folder / "ballast").write_bytes(bytes(64 * 1024))
        sidecar = await mixed_run(embedded_place, start, dir=str(folder))
    assert embedded_place.statuses() == {"success": 3, "failed": 1}
    assert_told_once(sidecar, "No space left on device")


async def test_a_disk_that_fills_up_costs_no_task(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    with small_disk(place.folder / "logs", "64k") as folder:
        (folder / "ballast").write_bytes(bytes(60 * 1024))
        log = {"level": "INFO", "dir": str(folder)}
        sidecar = start(place.config({"default": place.job("done")}, log=log, worker={"concurrency": 2}))
        await place.publish(*({"task_id": f"t{number}"} for number in range(100)))
        await eventually(lambda: place.all_ended(100))
        sidecar.terminate()
        assert await sidecar.ended() == 0
        kept = (folder / NAME).read_text()
    assert place.statuses() == {"success": 100}
    assert_told_once(sidecar, "No space left on device")
    assert 2048 < len(kept) <= 4096
    assert kept.endswith("\n")
    assert sidecar.text.startswith(as_on_stderr(kept)), "what it has is what stderr has"


def assert_told_once(sidecar: Sidecar, reason: str) -> None:
    told = [line for line in sidecar.text.splitlines() if "log file cannot be written" in line]
    assert len(told) == 1
    assert reason in told[0]
    assert "WARNING" in told[0]
    assert "Traceback" not in sidecar.text
    assert "Errno" not in sidecar.text
    assert "statistics" in words(sidecar.text), "it goes on saying everything on stderr"


WHOLE = ["configuration found", "consuming", "leaving", "statistics"]


def test_a_stderr_that_takes_nothing_leaves_the_file(tmp_path: Path) -> None:
    cli.write_config(tmp_path, {"default": {"command": ["true"]}}, log={"dir": str(tmp_path / "logs")})
    with open("/dev/full", "w") as full:
        process = cli.start(tmp_path, "run", *BURST, stderr=full)
        assert process.wait(cli.LIMIT) == 0
    process.communicate()
    assert words(as_on_stderr((tmp_path / "logs" / NAME).read_text())) == WHOLE


@pytest.mark.timeout(180)
async def test_a_folder_that_comes_back_is_used_again(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    folder = place.folder / "logs"
    folder.touch()  # a file is in the way
    config = place.config(
        {"default": place.job("done")}, log={"level": "INFO", "dir": str(folder), "stats_interval": 1}
    )
    sidecar = start(config)
    await sidecar.said("log file cannot be written")
    await sidecar.ready()
    folder.unlink()
    await sidecar.said("log file works again", timeout=60)  # it looks every 30 s
    assert re.search(r"log file works again  lost_lines=[1-9]\d*\n", sidecar.text)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert as_on_stderr((folder / NAME).read_text()) in sidecar.text
    assert "leaving" in (folder / NAME).read_text()


# -- figures ----------------------------------------------------------------------------------------------------------


def figures(sidecar: Sidecar) -> list[dict[str, float]]:
    """The lines of figures of a JSON log."""
    lines = [line for line in objects(sidecar.text) if line["event"] == "statistics"]
    return [{key: value for key, value in line.items() if key not in ("time", "level", "event")} for line in lines]


async def test_the_last_line_sums_the_run_up(any_place: Place, start: Start) -> None:
    sidecar = await mixed_run(any_place, start, format="json", stats_interval=0)
    (last,) = figures(sidecar)
    pace, uptime = last.pop("per_minute"), last.pop("uptime")
    assert last == {"done": 3, "failed": 2, "retried": 1, "cancelled": 0, "running": 0, "left": 0}
    assert 0 <= uptime <= 60
    assert pace >= 5


async def test_lines_come_while_it_runs(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    log = {"level": "INFO", "format": "json", "stats_interval": 0.2}
    config = place.config({"default": place.job("until", gate)}, log=log, worker={"shutdown_grace": 0})
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: any((line["running"], line.get("left")) == (1, 3) for line in figures(sidecar)))
    Path(f"{gate}.t0").touch()
    await eventually(lambda: any((line["done"], line.get("left")) == (1, 2) for line in figures(sidecar)))
    sidecar.terminate()
    assert await sidecar.ended() == 0
    last = figures(sidecar)[-1]
    assert (last["done"], last["given_back"], last["running"], last["left"]) == (1, 1, 0, 3)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_ends_a_run_stands_in_the_log(tmp_path: Path, language: str) -> None:
    """In its form, its language and its file, and not as a line of another kind."""
    log = {"format": "json", "dir": str(tmp_path / "logs"), "language": language}
    cli.write_config(tmp_path, {"default": {"command": ["cat"]}}, hooks={"on_startup": ["false"]}, log=log)
    done = cli.gridsidecar(tmp_path, "run")
    assert done.returncode == 1
    for text in (done.stderr, (tmp_path / "logs" / NAME).read_text()):
        last = json.loads(text.splitlines()[-1])
        assert (last["event"], last["level"]) == ("cannot go on", "error")
        assert {"en": "on_startup failed", "zh": "on_startup 失败"}[language] in last["reason"]
        assert last.get("message") == (CHINESE["cannot go on"] if language == "zh" else None)
