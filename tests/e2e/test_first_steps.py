"""What a newcomer meets: why nothing happens, what was taken for granted, and where the result went."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import LIMIT, ROOT, Finished, environment, gridsidecar, work, write_config
from tests.support.markdown import sections

WORDS = {"en": 0, "zh": 1}
LANGUAGES = pytest.mark.parametrize("lang", ["en", "zh"])


def ran(folder: Path, lang: str, *arguments: str) -> Finished:
    done = gridsidecar(folder, "--lang", lang, *arguments)
    assert done.returncode == 0, done
    return done


@LANGUAGES
def test_a_task_that_waits_for_a_command_that_is_not_there_says_so(tmp_path: Path, lang: str) -> None:
    write_config(tmp_path, {"gone": {"command": ["no-such-program"]}, "there": {"command": ["cat"]}})
    for task_type in ("gone", "there"):
        ran(tmp_path, lang, "submit", "--type", task_type, "--id", task_type)
    folders = len(os.environ["PATH"].split(os.pathsep))
    reason = (f"no-such-program is not in PATH ({folders} folders)", f"PATH（{folders} 个目录）中没有 no-such-program")
    shown, told = ran(tmp_path, lang, "tasks", "show", "gone").stdout, reason[WORDS[lang]]
    assert re.search(rf"^{('waits', '等待')[WORDS[lang]]} .*{re.escape(told)}", shown, re.MULTILINE), shown
    assert told not in ran(tmp_path, lang, "tasks", "show", "there").stdout
    rows = ran(tmp_path, lang, "stats").stdout.splitlines()
    assert [told in row for row in rows if row.startswith(("gone", "there"))] == [True, False]
    ran(tmp_path, lang, "pause", "gone")
    assert told not in ran(tmp_path, lang, "tasks", "show", "gone").stdout, "it waits for somebody to resume it"


@LANGUAGES
def test_resume_says_what_comes_of_it(tmp_path: Path, lang: str) -> None:
    write_config(tmp_path, {"mail": {"command": ["cat"]}})
    ran(tmp_path, lang, "pause", "mail")
    done = ran(tmp_path, lang, "resume", "mail")
    said = ("resumed; workers start what was kept, the oldest first", "已恢复；worker 会启动保留的任务，最早的在前")
    assert (done.stdout, done.stderr.strip()) == ("mail\n", said[WORDS[lang]])


@LANGUAGES
def test_a_task_without_a_type_says_of_which_it_is_in_one_line(tmp_path: Path, lang: str) -> None:
    write_config(tmp_path, {"resize": {"command": ["cat"]}})
    said = (
        "sent all the same: no handler of this configuration takes the type default, that of a task without one; "
        "there are resize\n",
        "仍已发送：此配置没有处理类型 default（未指定类型的任务属于它）的 handler；现有 resize\n",
    )[WORDS[lang]]
    assert ran(tmp_path, lang, "submit", "--data", "{}").stderr == said
    assert "default" not in ran(tmp_path, lang, "submit", "--data", "{}", "--type", "other").stderr
    write_config(tmp_path, {"default": {"command": ["cat"]}})
    assert ran(tmp_path, lang, "submit", "--data", "{}").stderr == "", "its handler is there for it"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_log_says_which_file_was_found(tmp_path: Path, language: str) -> None:
    write_config(tmp_path, {"default": {"command": ["cat"]}}, log={"language": language})
    log = work(tmp_path, "--", "cat").stderr
    said = ("configuration found", "找到配置文件")[WORDS[language]]
    assert [line.split()[1:] for line in log.splitlines() if said in line] == [
        ["INFO", *said.split(), f"file={tmp_path}/config.yaml"]
    ]
    assert said not in work(tmp_path, "-c", "config.yaml").stderr, "whoever named it knows it"


@LANGUAGES
@pytest.mark.parametrize(
    ("script", "hinted"),
    [
        ("cat", True),
        ("jq .data", True),
        ("echo begun; jq -c .data", True),
        ("echo done", False),
        ("""echo '{"gs":1,"type":"result","result":1}'""", False),
        ("jq .data >&2", False),
    ],
)
def test_json_that_is_no_result_is_pointed_out(tmp_path: Path, lang: str, script: str, hinted: bool) -> None:
    done = ran(tmp_path, lang, "exec", "--data", '{"n": 1}', "--", "sh", "-c", script)
    assert ("result_from: stdout" in done.stderr) == hinted, done
    assert (json.loads(done.stdout) is None) or not hinted
    assert ("结果为 null" in done.stderr) == (hinted and lang == "zh")


@pytest.mark.parametrize(("page", "title"), [("README.md", "five minutes"), ("README.zh-CN.md", "五分钟")])
def test_the_five_minutes_are_as_the_page_says(tmp_path: Path, page: str, title: str) -> None:
    """Typed as they stand there, in a folder that has nothing else."""
    (section,) = (each for each in sections((ROOT / page).read_text()) if title in each.title)
    script, config, commands, *_ = (block.text for block in section.blocks)
    (tmp_path / "resize.sh").write_text(script)
    (tmp_path / "config.yaml").write_text(config)
    env = environment(tmp_path)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", f"{commands}\nkill -TERM $!; wait $!"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.startswith('"resized a.png to 640"\n')
    assert re.search(r"^\d+ ok$", done.stdout, re.MULTILINE), "the doctor has nothing to warn of"
    assert re.search(r"^first +resize +success ", done.stdout, re.MULTILINE), "the list"
    assert "WARNING" not in done.stderr
