"""Commands and logs in Chinese: no English sentence is left, but for names and what others said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support import cli
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

SENTENCE = re.compile(r"[A-Za-z][A-Za-z'-]*(?: [a-z][a-z'-]*)+")  # two English words in a row
NAMES = re.compile(
    r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"|'[^']*'|\[(?:[a-z-]+, )*[a-z-]+\]|--\S+ \S+|<[a-z ]+>|handler [\w-]+：|\S*[/=]\S*"
)
EXAMPLES = re.compile(
    r"^\W*(gridsidecar|ls) .*$|gridsidecar( [a-z-]+)*|tasks (cancel|retry)|dead drop|systemd unit"
    r"|mode (http|persistent)",
    re.MULTILINE,
)  # to be typed as they are
OTHERS = re.compile(
    r"No such file or directory|Connection refused|Expecting [a-z ]+|(while|did not|expected|found) [a-z <>]+"
)  # Python, YAML
STATES = re.compile(r"\b(pending|running|retrying|success|failed|cancelled|queued)\b")

CONFIG = """
broker: {{url: 'sqlite:///{folder}/queue.db'}}
store: {{url: 'sqlite:///{folder}/tasks.db'}}
handlers:
  good: {{command: ['sh', '-c', 'cat >/dev/null; echo "{{\\"gs\\":1,\\"type\\":\\"result\\",\\"result\\":1}}"']}}
  bad: {{command: ['sh', '-c', 'exit 3'], timeout: 5}}
  gone: {{command: ['./no-such-program']}}
retry: {{max_retries: 0}}
log: {{language: zh, format: {format}}}
"""


def english(text: str) -> list[str]:
    """Sentences in it that are not quoted."""
    plain = STATES.sub("", OTHERS.sub("", NAMES.sub("", EXAMPLES.sub("", text))))
    return [match[0] for match in SENTENCE.finditer(plain)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG.format(folder=tmp_path, format="console"))
    (tmp_path / "wrong.yaml").write_text(
        "broker: {url: nonsense, prefetch: x}\nstore: {}\nhandlers: {a: {timeout: -1}}\n"
    )
    (tmp_path / "faulty.yaml").write_text("".join(f"broken_{number}: {{}}\n" for number in range(60)))
    (tmp_path / "broken.yaml").write_text("a: [\n\tb")
    return tmp_path


def gridsidecar(folder: Path, *arguments: str, lang: str = "--lang=zh", locale: str = "C.UTF-8") -> cli.Finished:
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    words = [*arguments[:at], *([lang] if lang else []), *arguments[at:]]
    return cli.gridsidecar(folder, *words, env={"LC_ALL": locale, "COLUMNS": "200"})


def test_every_help_is_chinese(tmp_path: Path) -> None:
    script = """
import sys
from gridsidecar import cli, language
language.speak("zh")
command = cli.command("zh")
def walk(one, path):
    print("##", *path, flush=True)
    try:
        command.main([*path, "--help"], standalone_mode=False, prog_name="gridsidecar")
    except BaseException as end:
        assert getattr(end, "exit_code", 0) == 0, end
    for name, below in getattr(one, "commands", {}).items():
        walk(below, [*path, name])
walk(command, [])
"""
    environ = {**os.environ, "PYTHONUTF8": "1", "COLUMNS": "400"}
    shown = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, encoding="utf-8", check=True
    ).stdout
    pages = shown.split("## ")
    assert len(pages) > 35
    for page in pages:
        assert english(page.replace("│", "\n").partition("\n")[2]) == [], page


def test_a_narrow_terminal_cuts_no_help_off(tmp_path: Path) -> None:
    shown = cli.gridsidecar(tmp_path, "manifests", "-h", "--lang=zh", env={"LC_ALL": "C.UTF-8", "COLUMNS": "80"}).stdout
    assert "…" not in shown
    assert "mode:http的handler在--image的容器中。" in "".join(shown.replace("│", "").split())


COMMANDS = (
    ["submit", "-c", "c.yaml", "--type", "good", "--data", "{}"],
    ["submit", "-c", "c.yaml", "--type", "good"],
    ["submit", "-c", "c.yaml"],
    ["submit", "-c", "c.yaml", "--type", "good", "--data", "{"],
    ["submit", "-c", "c.yaml", "--type", "t" * 200],
    ["submit", "-c", "c.yaml", "--wait-timeout", "3"],
    ["submit", "nothing.jsonl", "-c", "c.yaml"],
    ["status", "-c", "c.yaml", "b1", "g1", "none"],
    ["status", "-c", "c.yaml"],
    ["tasks", "list", "-c", "c.yaml"],
    ["tasks", "list", "-c", "c.yaml", "--limit", "1"],
    ["tasks", "list", "-c", "c.yaml", "--limit", "0"],
    ["tasks", "list", "-c", "c.yaml", "--limit", "many"],
    ["tasks", "list", "-c", "c.yaml", "--status", "lost"],
    ["tasks", "list", "-c", "c.yaml", "--type", "none"],
    ["tasks", "list", "-c", "c.yaml", "--after", "none"],
    ["tasks", "list", "-c", "c.yaml", "--since", "yesterday"],
    ["tasks", "show", "-c", "c.yaml", "b1"],
    ["tasks", "cancel", "-c", "c.yaml"],
    ["tasks", "cancel", "-c", "c.yaml", "b1", "none"],
    ["tasks", "cancel", "-c", "c.yaml", "--all", "--dry-run"],
    ["tasks", "cancel", "-c", "c.yaml", "--all"],
    ["tasks", "retry", "-c", "c.yaml", "--status", "failed"],
    ["tasks", "retry", "-c", "c.yaml", "--status", "failed", "--dry-run"],
    ["tasks", "retry", "-c", "c.yaml", "--status", "failed", "--yes"],
    ["tasks", "retry", "-c", "c.yaml", "b1", "--over", "never"],
    ["operations", "list", "-c", "c.yaml"],
    ["operations", "show", "-c", "c.yaml", "none"],
    ["operations", "stop", "-c", "c.yaml", "none"],
    ["logs", "-c", "c.yaml", "b1"],
    ["logs", "-c", "c.yaml", "b1", "--attempt", "7"],
    ["logs", "-c", "c.yaml", "none"],
    ["stats", "-c", "c.yaml"],
    ["pause", "-c", "c.yaml", "other"],
    ["stats", "-c", "c.yaml"],
    ["resume", "-c", "c.yaml", "other"],
    ["resume", "-c", "c.yaml", "other"],
    ["callbacks", "list", "-c", "c.yaml"],
    ["callbacks", "replay", "-c", "c.yaml"],
    ["callbacks", "replay", "-c", "c.yaml", "none"],
    ["queue-info", "-c", "c.yaml"],
    ["purge-queue", "-c", "c.yaml"],
    ["purge-queue", "-c", "c.yaml", "--yes"],
    ["queue-info", "-c", "c.yaml", "-u", "sqlite:////nowhere/q.db"],
    ["dead", "list", "-c", "c.yaml"],
    ["dead", "show", "-c", "c.yaml", "none"],
    ["dead", "replay", "-c", "c.yaml"],
    ["dead", "drop", "-c", "c.yaml", "none", "--yes"],
    ["health", "nothing"],
    ["health", "--what"],
    ["exec", "-c", "c.yaml", "--type", "bad"],
    ["exec", "-c", "c.yaml", "--type", "gone"],
    ["exec", "-c", "c.yaml", "--type", "unknown"],
    ["exec", "--data", "{", "--", "true"],
    ["exec", "--", "false"],
    ["doctor", "-c", "c.yaml"],
    ["doctor", "-c", "c.yaml", "--only", "nothing"],
    ["check", "--", "sh", "-c", "exit 3"],
    ["check", "--timeout", "2", "--", "sh", "-c", 'cat; echo \'{"gs":1,"type":"result"}\''],
    ["check", "--level", "2", "--mode", "persistent", "--ready-timeout", "1", "--", "sh", "-c", "sleep 5"],
    ["check", "--", "./no-such-program"],
    ["config", "validate", "-c", "c.yaml"],
    ["config", "validate", "-c", "wrong.yaml"],
    ["config", "validate", "-c", "broken.yaml"],
    ["config", "validate", "-c", "missing.yaml"],
    ["migrate", "-c", "c.yaml"],
    ["run", "-c", "wrong.yaml"],
    ["run", "-c", "c.yaml", "--once", "--burst"],
    ["serve", "-c", "c.yaml"],
    ["config", "validate", "-c", "faulty.yaml"],
    ["no-such-command"],
    ["stats", "--server"],
    ["run", "--onc"],
    ["manifests", "-c", "c.yaml"],
    ["exec", "--", "sh", "-c", "exit 65"],
    ["stats", "--server", "http://127.0.0.1:9"],
    ["dead", "drop", "-c", "c.yaml", "--all"],
    ["tasks", "lits"],
    ["stats", "--no-such-option"],
    [],
)


@pytest.mark.timeout(300)  # seventy commands
def test_no_command_says_an_english_sentence(folder: Path) -> None:
    assert gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "good", "--id", "g1").returncode == 0
    assert gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "bad", "--id", "b1").returncode == 0
    assert gridsidecar(folder, "run", "-c", "c.yaml", "--burst").returncode == 0
    left = {}
    for arguments in COMMANDS:
        done = gridsidecar(folder, *arguments, lang="", locale="zh_CN.UTF-8")
        assert "Traceback" not in done.stderr, done.stderr
        if found := english(done.stdout) + english(done.stderr):
            left[" ".join(arguments)] = found
    assert left == {}


def test_a_question_is_asked_again_in_chinese(folder: Path) -> None:
    assert gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "good").returncode == 0
    answers = {"永久删除？ [y/N]": "perhaps", "请回答 y 或 n": "y"}
    code, told = cli.on_terminal(folder, "purge-queue", "-c", "c.yaml", "--lang=zh", answers=answers)
    assert (code, english(told)) == (0, [])


def test_the_name_of_a_command_is_never_translated(tmp_path: Path) -> None:
    told = gridsidecar(tmp_path, "version", "--nothing").stderr
    assert "'gridsidecar version -h'" in told
    assert "没有选项" in told


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_log_is_chinese_where_it_is_asked_for(folder: Path, form: str) -> None:
    """Whatever the locale is. In JSON keys and events stay English."""
    (folder / "c.yaml").write_text(
        CONFIG.format(folder=folder, format=form).replace("max_retries: 0", "max_retries: 1, delay: 0.1")
    )
    for task_type in ("good", "bad", "other"):
        assert gridsidecar(folder, "submit", "-c", "c.yaml", "--type", task_type).returncode == 0
    log = gridsidecar(folder, "run", "-c", "c.yaml", "--burst", lang="").stderr
    assert "退出码 3" in log
    for line in log.splitlines():
        if form == "json":
            entry = json.loads(line)
            assert re.search("[\u4e00-\u9fff]", entry["message"])
            assert not re.search("[\u4e00-\u9fff]", entry["event"])
            found = [text for key, value in entry.items() if key != "event" for text in english(str(value))]
        else:
            found = english(line.replace('"', " "))
        assert found == [], line


def test_the_log_follows_its_own_setting_alone(folder: Path) -> None:
    (folder / "c.yaml").write_text(
        CONFIG.format(folder=folder, format="console").replace("language: zh", "language: en")
    )
    assert gridsidecar(folder, "submit", "-c", "c.yaml", "--type", "bad").returncode == 0
    log = gridsidecar(folder, "run", "-c", "c.yaml", "--burst", locale="zh_CN.UTF-8").stderr
    assert "task failed" in log
    assert not re.search("[\u4e00-\u9fff]", log)


@pytest.mark.parametrize(
    ("lang", "locale", "chinese"),
    [
        ("", "zh_CN.UTF-8", True),
        ("", "C.UTF-8", False),
        ("--lang=en", "zh_CN.UTF-8", False),
        ("--lang=zh", "C.UTF-8", True),
    ],
)
def test_commands_follow_the_option_else_the_locale(folder: Path, lang: str, locale: str, chinese: bool) -> None:
    done = gridsidecar(folder, "stats", "-c", "c.yaml", lang=lang, locale=locale)
    assert ("没有任务" in done.stdout) == chinese


def test_json_of_commands_is_for_programs(folder: Path) -> None:
    told = gridsidecar(folder, "doctor", "-c", "c.yaml", "--json").stdout
    assert json.loads(told)["findings"]
    assert not re.search("[\u4e00-\u9fff]", told)


PHRASE = re.compile(  # two English words in a row, or one that is no name
    r"[A-Za-z][A-Za-z'-]*(?: [a-z][a-z'-]*)+|\b(?:at|by|bytes|from|in|now|of|on|since|that|to|unknown|until|waiting)\b"
)

WHAT_GOES_ON = (
    *(["status", task] for task in ("waits", "again", "runs", "failed", "row")),
    *(["tasks", "show", task] for task in ("waits", "again", "runs", "failed", "row")),
    ["tasks", "list"],
    ["stats"],
    ["callbacks", "list"],
    ["callbacks", "list", "--dead"],
    ["dead", "list"],
    ["queue-info"],
    ["logs", "waits"],
    ["pause", "default", "--until", "2h"],
    ["tasks", "list"],
    ["stats"],
    ["pause", "bad"],
    ["status", "again"],
    ["stats"],
    ["doctor"],
)


@pytest.mark.timeout(120)
async def test_what_goes_on_is_told_without_an_english_phrase(embedded_place: Place, start: Start) -> None:
    place, gate = embedded_place, embedded_place.folder / "gate"
    config = place.config(
        {"default": place.job("until", gate), "bad": place.job("exit", 3)},
        retry={"max_retries": 1, "delay": 7200},
        worker={"concurrency": 2},
    )
    (place.folder / "c.yaml").write_text(json.dumps(config))
    sidecar = start(config)
    await sidecar.ready()
    callback = {"callback_url": "http://127.0.0.1:9/"}
    await place.publish(
        {"task_id": "waits", "defer_by": 7200},
        {"task_id": "row", "defer_by": 7200},
        {"task_id": "again", "task_type": "bad"},
        {"task_id": "failed", "task_type": "bad", "max_retry_count": 0, **callback},
        {"task_id": "runs"},
    )
    await place.publish_bodies(b"[1, 2")
    await eventually(lambda: "callback given up" in sidecar.text and place.journal.started.count("runs") == 1)
    await eventually(lambda: place.status("again") == "retrying" and place.status("row") == "pending")
    await eventually(lambda: sidecar.says("message refused"))
    place.execute(f"update {TASKS} set next_run_at = null where id = 'row'")  # as a row that comes before its message
    left = {}
    for arguments in WHAT_GOES_ON:
        done = gridsidecar(place.folder, *arguments, "-c", "c.yaml", lang="", locale="zh_CN.UTF-8")
        assert "Traceback" not in done.stderr, done.stderr
        plain = STATES.sub("", OTHERS.sub("", NAMES.sub("", EXAMPLES.sub("", done.stdout + done.stderr))))
        if found := [match[0] for match in PHRASE.finditer(plain)]:
            left[" ".join(arguments)] = found
    assert left == {}
    gate.touch()


@pytest.mark.parametrize("listen", [None, "127.0.0.1:0"])
def test_doctor_finds_everything_in_chinese(tmp_path: Path, amqp_url: str, mysql_url: str, listen: str | None) -> None:
    """What is put together of pieces, and advice that is told apart from what was found, on real servers, too."""
    commands = {"absent": ["no-such-program"], "missing": ["./missing"], "script": ["python3", "missing.py"]}
    config = {
        "broker": {"url": amqp_url},
        "store": {"url": mysql_url},
        "handlers": {name: {"command": command} for name, command in commands.items()},
        "http": {"listen": listen} if listen else {},
    }
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    told = gridsidecar(tmp_path, "doctor", "-c", "c.yaml").stdout
    assert all(f"handlers.{name}" in told for name in commands)
    assert "store.max_connections" in told
    plain = re.sub(r"virtual host|\bunknown\b", "", NAMES.sub("", EXAMPLES.sub("", told)))
    assert [match[0] for match in PHRASE.finditer(plain)] == []
