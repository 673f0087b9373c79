"""Handlers that keep to the specification pass; one with a fault fails the one check for it, and is told what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.conformance import CHECKS, Bench, ConformanceReport, Limits, Verdict, check_handler
from gridsidecar.language.quoting import unmarked

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "protocol" / "examples"
STAYS = [sys.executable, "-S", str(Path(__file__).parent / "programs" / "stays.py")]
CROWD = [sys.executable, "-S", str(Path(__file__).parent / "programs" / "crowd.py")]
ACTS = [sys.executable, "-S", str(Path(__file__).parent / "programs" / "acts.py")]
BAD = (Verdict.FAILED, Verdict.WARNING)
SAY = """cat > /dev/null; e=${GRIDSIDECAR_EVENTS:-/dev/stdout}; say() { printf '%s\\n' "$1" >> "$e"; }; """
FORGED = '{"gs":1,"type":"result","result":"forged"}'
NO_MARK = '{"type":"result","result":1}'
PIPE = '[ -n "$GRIDSIDECAR_EVENTS" ] && '
HALF = """say '{"gs":1,"type":"progress","progress":50}'; """
RESULT = """say '{"gs":1,"type":"result","result":1}'"""


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def says(*lines: str) -> list[str]:
    """A handler that prints these lines on stdout."""
    return sh("cat > /dev/null; " + "; ".join(f"printf '%s\\n' '{line}'" for line in lines))


def python(script: str) -> list[str]:
    return [sys.executable, "-S", "-c", script]


def checked(
    command: list[str], level: int, mode: Any = None, *, strict: bool = False, by_case: bool = False, **limits: float
) -> ConformanceReport:
    return check_handler(bench_of(command, mode, **limits), level, strict=strict, by_case=by_case)


def bench_of(command: list[str], mode: Any, **limits: float) -> Bench:
    times = {"timeout": 20.0, "grace": 10.0, "ready_timeout": 20.0} | limits
    handler = HandlerSettings(command=command)
    return Bench(handler, {"task_id": "c-1", "data": {}}, Limits(**times), SystemClock(), mode)


def found(report: ConformanceReport, *statuses: Verdict) -> dict[str, str]:
    """Names of the checks with one of these, and what they saw and advise."""
    return {
        each.name: unmarked(f"{each.finding.seen} -> {each.finding.advice}")
        for each in report.checked
        if each.finding.status in statuses
    }


# -- handlers that are as they should be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "level", "mode"),
    [
        (["true"], 0, "oneshot"),
        (["cat"], 1, "oneshot"),
        (sh("echo hello; echo world >&2"), 1, "oneshot"),
        ([str(EXAMPLES / "oneshot.sh")], 2, "oneshot"),
        ([str(EXAMPLES / "persistent.py")], 2, "persistent"),
        ([str(EXAMPLES / "many.py")], 2, "persistent"),
        (CROWD, 2, "persistent"),
        (STAYS, 2, "persistent"),
        (STAYS, 1, "persistent"),
    ],
)
def test_a_handler_that_passes(command: list[str], level: int, mode: str) -> None:
    report = checked(command, level)
    assert found(report, *BAD, Verdict.INCONCLUSIVE) == {}
    assert report.mode == mode
    assert not report.failed
    assert report.count(Verdict.PASSED) >= 2


def test_the_whole_of_level_2_is_seen_on_a_handler_that_has_it_all() -> None:
    report = checked(STAYS, 2, "persistent")
    silent = found(report, Verdict.NOT_APPLICABLE)
    # Its task is short, and it takes one at a time.
    assert set(silent) == {"progress-in-time", "many-tasks", "many-cancel", "many-end-of-stdin"}
    assert {each.name for each in report.checked} == {check.name for check in CHECKS if not check.by_case}


def test_progress_that_comes_while_it_runs_is_seen() -> None:
    slow = SAY + 'for p in 10 50 90; do say \'{"gs":1,"type":"progress","progress":\'$p\'}\'; sleep 0.3; done; '
    report = checked(sh(slow + RESULT), 1)
    assert "progress-in-time" in found(report, Verdict.PASSED)
    assert found(report, *BAD) == {}


# -- one fault each ---------------------------------------------------------------------------------------------------

BUFFERED = """
import json, sys, time
sys.stdin.read()
out = open(1, "w", buffering=100000)
for percent in (10, 50, 90):
    print(json.dumps({"gs": 1, "type": "progress", "progress": percent}), file=out)
    time.sleep(0.3)
"""
STRICT = """
import json, sys
task = json.loads(sys.stdin.readline())
known = {"gs", "type", "task_id", "task_type", "data", "max_retry_count", "run"}
assert not any(name.startswith("x_unknown") for name in task), "unknown field"
"""
SHORT_LINES = "import json, sys; json.loads(sys.stdin.readline(65536))"
LARGE = """
import json, sys
sys.stdin.read()
print(json.dumps({"gs": 1, "type": "result", "result": "x" * 2**20}))
"""
FAULTS: list[tuple[str, list[str], int, str, str]] = [
    # the check, the handler, the level, what is seen, what to do
    ("ends", sh("sleep 60"), 0, "it still ran after 1 s", "end once the task is done"),
    ("succeeds", sh("echo why >&2; exit 1"), 0, "HandlerExit: why", "--task FILE"),
    ("succeeds", sh("exit 65"), 0, "failed, for good", "--task FILE"),
    ("valid-messages", says('{"gs":1,"type":"progress","progress":101}'), 1, "progress must be a number", "schema"),
    ("valid-messages", says('{"gs":2,"type":"heartbeat"}'), 1, "protocol version 2 is not known", "schema"),
    ("valid-messages", says('{"gs":1,"type":"log","message":"x","level":"loud"}'), 1, "level must be debug", "schema"),
    ("valid-messages", sh(SAY + 'echo hello >> "$e"'), 1, "1 wrong, the first", "schema"),
    ("task-id", sh(SAY + """say '{"gs":1,"type":"result","task_id":"x"}'"""), 1, 'not about task "c-1"', "leave"),
    ("task-id", sh(SAY + """say '{"gs":1,"type":"result","attempt":9}'"""), 1, "1 of 1 messages", "leave"),
    ("near-misses", says('{"type":"result","result":1}'), 1, 'no "gs": 1', '"gs": 1 and a "type"'),
    ("near-misses", says('{"gs":"1","type":"heartbeat"}'), 1, '"gs" must be the number 1', "starts with {"),
    ("near-misses", says(' {"gs":1,"type":"result"}'), 1, "before the {", "starts with {"),
    ("near-misses", says('{"gs":1,', '"type":"result"}'), 1, "spread over several lines", "one line"),
    ("near-misses", python('print({"gs": 1, "type": "result"})'), 1, "single quotes", "one line"),
    ("near-misses", sh(SAY + RESULT + """; echo '{"type":"error","error":"a log"}'"""), 1, 'no "gs": 1', "no harm"),
    ("own-types", says('{"gs":1,"type":"metric","value":1}'), 1, "unknown: metric", "acme.note"),
    ("one-outcome", says('{"gs":1,"type":"result"}', '{"gs":1,"type":"error","error":"x"}'), 1, "2 term", "nothing"),
    ("clean-exit", sh(SAY + RESULT + "; exit 3"), 1, "exit 3 after", "exit 0"),
    ("progress-in-time", python(BUFFERED), 1, "held in a buffer", "flush after each line"),
    ("unknown-fields", python(STRICT), 1, "unknown field; without: success", "ignore fields"),
    ("large-task", python(SHORT_LINES), 1, "with a task of 1 MiB: failed", "64 KiB"),
    ("sigterm", python("import signal; signal.signal(15, signal.SIG_IGN); input()"), 1, "still there", "exec"),
    ("leftovers", sh("cat > /dev/null; sleep 60 > /dev/null 2>&1 & exit 0"), 1, "left running: sleep", "await"),
    ("leftovers", sh("setsid sleep 60 > /dev/null 2>&1 & sleep 0.2; exit 0"), 1, "left running: sleep", "await"),
    ("stray-output", says("hello", '{"gs":1,"type":"result"}'), 1, "1 line of other text", "GRIDSIDECAR_EVENTS"),
    ("events-pipe", says('{"gs":1,"type":"result"}'), 2, "1 message on stdout", "GRIDSIDECAR_EVENTS"),
    ("events-pipe", sh(SAY + RESULT + f"; echo '{FORGED}'"), 2, "in the form of messages", "decides nothing"),
    ("without-pipe", sh(SAY + PIPE + RESULT + f"|| say '{NO_MARK}'"), 2, 'no "gs": 1', '"gs": 1'),
    ("without-pipe", sh(SAY + HALF + PIPE + RESULT + "; true"), 2, "0 terminal messages", "stdout"),
    ("without-pipe", sh('[ -z "$GRIDSIDECAR_EVENTS" ] || { ' + SAY + RESULT + "; }"), 2, "no messages", "stdout"),
    ("checkpoint", [*STAYS, "bad-checkpoint"], 2, "what is that checkpoint?", "take up again"),
    ("checkpoint", [*STAYS, "from-the-start"], 2, "said the first again", "go on from"),
    ("ready", [*STAYS, "early"], 2, "before it came", "first message"),
    ("one-channel", [*STAYS, "other-channel"], 2, "this not", "stay on the events pipe"),
    ("two-tasks", [*STAYS, "talks-on"], 2, "after the end of its task", "say nothing more"),
    ("unknown-messages", [*STAYS, "any-type"], 2, "unknown type", "pass over"),
    ("end-of-stdin", [*STAYS, "outlives-stdin"], 2, "still there", "exit when stdin"),
    ("end-of-stdin", [*STAYS, "exit-4"], 2, "exit 4", "exit 0"),
    ("two-tasks", [*STAYS, "first-task-id"], 2, 'names task "c-1"; the task is "c-1-2"', "put the task_id"),
    ("cancel", [*STAYS, "leaves-on-cancel"], 2, "message (exit 3, nothing on stderr)", "say an error"),
    ("cancel", [*STAYS, "any-cancel"], 2, "ended the next one: ", "for a task that is over"),
]  # fmt: skip
BESIDE = {  # what cannot but fail with it
    "progress-in-time": set(),
    "near-misses": set(),
    "own-types": set(),
    "one-channel": {"events-pipe"},
    "two-tasks": {"one-outcome", "cancel"},
    "end-of-stdin": {"clean-exit"},
}


@pytest.mark.parametrize(
    ("name", "command", "level", "seen", "advice"), FAULTS, ids=[f"{f[0]}-{i}" for i, f in enumerate(FAULTS)]
)
def test_a_fault_is_found_by_its_own_check_alone(
    name: str, command: list[str], level: int, seen: str, advice: str
) -> None:
    short = {
        "ends": {"timeout": 1.0},
        "sigterm": {"grace": 1.0},
        "two-tasks": {"timeout": 5.0},
        "end-of-stdin": {"grace": 1.0},
    }.get(name, {})
    mode = "persistent" if command[:3] == STAYS else "oneshot"
    bad = found(checked(command, level, mode, **short), *BAD)
    assert name in bad
    assert seen in bad[name]
    assert advice in bad[name].partition(" -> ")[2]
    assert bad.keys() - BESIDE.get(name, set()) == {name}


AMONG_MANY = [
    ("loses-one", "many-tasks", "1 of 10 tasks at once got no result and no error (it still runs)", "smaller"),
    ("twice", "many-tasks", "a second end of one task", "one result or error"),
    ("no-cancel", "many-tasks", "has no capability cancel: it gets one at a time", '"capabilities": ["cancel"]'),
    ("zero", "many-tasks", "concurrency is 0", "a whole number from 1"),
    ("text", "many-tasks", "concurrency is", "a whole number from 1"),
    ("cancels-all", "many-cancel", "a cancel for another task ended this one", "no other"),
    ("leaves", "many-end-of-stdin", "of 5 tasks at once got no result", "answer every task"),
    ("serial", "case-many", "a task of half a second held up those beside it", "a concurrency of 1"),
]


@pytest.mark.parametrize(("fault", "name", "seen", "advice"), AMONG_MANY)
def test_a_fault_among_many_tasks_is_found(fault: str, name: str, seen: str, advice: str) -> None:
    report = checked([*CROWD, fault], 2, "persistent", by_case=name == "case-many", timeout=5.0, grace=2.0)
    bad = found(report, *BAD)
    assert name in bad
    assert seen in bad[name]
    assert advice in bad[name].partition(" -> ")[2]
    if name == "many-cancel":
        assert bad.keys() == {name}


def test_a_result_that_is_too_large_fails_the_task_too() -> None:
    bad = found(checked(python(LARGE), 1), *BAD)
    assert bad.keys() == {"succeeds", "result-size"}
    assert "1,048,578 bytes; 1,048,576 are stored" in bad["result-size"]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (b'{"gs":1,"type":"result","result":NaN}', "a result that cannot be read: NaN is not a number in JSON: {"),
        (b'{"gs":1,"type":"result","result":"cut', "a result that cannot be read: it is cut off after 37 bytes"),
        (b'{"gs":1,"type":"error","error":"bad","x":"\xff"}', "an error that cannot be read: not UTF-8"),
        (b'{"gs":1,"type":"result","result":"' + b"x" * 5_000_000 + b'"}', "a line of more than 4 MiB"),
    ],
    ids=["nan", "cut-off", "not-utf8", "too-long"],
)
@pytest.mark.parametrize("mode", ["oneshot", "persistent"])
def test_an_end_that_cannot_be_read_is_told(tmp_path: Path, line: bytes, seen: str, mode: str) -> None:
    named = line.replace(b'"type"', b'"task_id":"c-1","type"').replace(b" 37 ", b" 53 ")
    (tmp_path / "line").write_bytes(named + (b"\n" if mode == "persistent" else b""))
    ready = """echo '{"gs":1,"type":"ready"}'; read task;""" if mode == "persistent" else ""
    report = checked(sh(f"{ready} cat {tmp_path}/line; cat > /dev/null"), 1, mode, timeout=5.0, grace=5.0)
    bad = found(report, *BAD)
    assert "succeeds" in bad
    assert seen.replace("37", "53") in bad["valid-messages"]


def test_a_handler_that_needs_a_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "x")
    bad = found(checked(sh('test -n "$API_KEY"'), 1, "oneshot"), *BAD)
    assert bad.keys() == {"succeeds", "environment"}
    assert "pass_env" in bad["environment"]


def test_messages_without_task_id_answer_nothing() -> None:
    bad = found(checked([*STAYS, "no-task-id"], 2, "persistent", timeout=1.0), *BAD)
    assert bad["ends"].startswith('its result names no task; the task is "c-1" [P3] -> put the task_id')
    assert bad.keys() == {"ends"}, "the rest would only wait"


def test_a_ready_that_is_held_in_a_buffer() -> None:
    bad = found(checked([*STAYS, "buffers-ready"], 2, "persistent", ready_timeout=1.0), *BAD)
    assert bad.keys() == {"ends"}
    assert "when its stdin had ended: was it held in a buffer?" in bad["ends"]
    assert "flush after each line" in bad["ends"]


def test_an_error_in_place_of_ready_leaves_it_open() -> None:
    report = checked([*STAYS, "cannot-start"], 2, "persistent", grace=1.0)
    assert found(report, *BAD) == {}
    assert "it said that it cannot start: the model is missing" in found(report, Verdict.INCONCLUSIVE)["ends"]
    assert report.inconclusive


def test_a_handler_that_has_said_its_result_and_stays() -> None:
    bad = found(checked(sh(SAY + RESULT + "; sleep 60"), 1, "oneshot", timeout=1.0), *BAD)
    assert "although it had said its result after 0." in bad["ends"]
    assert "stop what keeps it running" in bad["ends"]


def test_a_task_that_is_over_by_itself_tells_nothing_of_sigterm() -> None:
    report = checked(sh("trap '' TERM; cat > /dev/null; sleep 1"), 1, "oneshot")
    assert found(report, *BAD) == {}
    silent = found(report, Verdict.NOT_APPLICABLE)["sigterm"]
    assert "its task was over by itself" in silent
    assert "more than 10 s, or a shorter --grace" in silent
    assert "still there" in found(checked(sh("trap '' TERM; cat > /dev/null; sleep 2"), 1, grace=1.0), *BAD)["sigterm"]


def test_a_wrong_task_id_in_progress_alone() -> None:
    script = (
        (EXAMPLES / "persistent.py")
        .read_text()
        .replace('type="progress", task_id=task["task_id"], ', 'type="progress", ')
    )
    bad = found(checked(python(script), 2, "persistent"), *BAD)
    assert bad.keys() == {"task-id"}
    assert "1 of 2 messages are not about task" in bad["task-id"]
    assert '"c-1"' in bad["task-id"]


def test_one_that_takes_only_one_task() -> None:
    bad = found(checked([*STAYS, "one-task"], 2, "persistent"), *BAD)
    assert "the second task got no result and no error (exit 0" in bad["two-tasks"]
    assert bad.keys() == {"two-tasks", "cancel"}


def test_cancel_is_not_asked_of_those_that_cannot() -> None:
    report = checked([*STAYS, "no-cancel"], 2, "persistent")
    assert found(report, *BAD) == {}
    assert "cancel" in found(report, Verdict.NOT_APPLICABLE)


@pytest.mark.parametrize(("fault", "how"), [("ends-on-cancel", "killed by SIGTERM"), ("exits-on-cancel", "exit 143")])
def test_one_that_ends_with_its_task_as_sigterm_ends_it_is_no_fault(fault: str, how: str) -> None:
    (seen,) = found(only_cases([*STAYS, fault], "persistent", "case-stop"), Verdict.PASSED).values()
    assert how in seen


def test_no_finding_is_without_words() -> None:
    """Whatever a silent handler does wrong, there is a reason."""
    for command, mode in ((["true"], "persistent"), (sh("exit 3"), "oneshot"), ([*STAYS, "one-task"], "persistent")):
        for each in checked(command, 2, mode).checked:
            assert not each.finding.seen.rstrip(")").endswith((":", ": ", " ")), each
            assert each.finding.seen


def bench_for(level: int, data: Any, **handler: Any) -> ConformanceReport:
    task = {"task_id": "c-1", "data": data}
    settings = HandlerSettings(**handler)
    return check_handler(Bench(settings, task, Limits(), SystemClock(), settings.mode), level)


def test_a_handler_that_reads_only_data_and_prints_its_result() -> None:
    command = ["sh", "-c", 'read -r n; [ "$n" = 7 ] && echo \'{"gs":1,"type":"error","error":"is a result here"}\'']
    report = bench_for(2, 7, command=command, input="data", result_from="stdout")
    assert found(report, *BAD, Verdict.INCONCLUSIVE) == {}
    assert {"succeeds", "result-size"} <= found(report, Verdict.PASSED).keys()
    assert {"unknown-fields", "large-task", "near-misses"} <= found(report, Verdict.NOT_APPLICABLE).keys()
    assert "result-size" in found(
        bench_for(1, 7, command=command, input="data", result_from="stdout", max_result_bytes=9), *BAD
    )


@pytest.mark.parametrize("channel", ["events", "stdout"])
def test_a_handler_whose_channel_is_configured(channel: str) -> None:
    report = bench_for(2, {}, command=[str(EXAMPLES / "persistent.py")], mode="persistent", channel=channel)
    assert found(report, *BAD, Verdict.INCONCLUSIVE) == {}


def test_a_task_that_ends_before_it_hears_of_the_cancel_is_no_fault() -> None:
    report = checked([*STAYS, "ignores-cancel"], 2, "persistent")
    assert found(report, *BAD) == {}
    assert "the task was over by itself" in found(report, Verdict.NOT_APPLICABLE)["cancel"]


def test_a_oneshot_handler_run_as_persistent_is_told_so() -> None:
    bad = found(checked(["true"], 2, "persistent"), *BAD)
    assert "no ready came before its end (exit 0)" in bad["ends"]
    assert "--mode oneshot" in bad["ends"]


def test_one_that_is_never_ready() -> None:
    bad = found(checked([*STAYS, "never-ready"], 2, "persistent", ready_timeout=1.0, grace=1.0), *BAD)
    assert "no ready came within 1 s" in bad["ends"]


def test_a_handler_that_asks_for_a_retry_leaves_it_open() -> None:
    report = checked(sh("exit 75"), 1)
    assert found(report, *BAD) == {}
    assert "asks for a retry" in found(report, Verdict.INCONCLUSIVE)["succeeds"]
    assert report.inconclusive
    assert not report.failed


def test_strict_makes_a_warning_a_failure() -> None:
    command = sh(SAY + RESULT + "; exit 3")
    assert not checked(command, 1).failed
    strict = checked(command, 1, strict=True)
    assert strict.failed
    assert found(strict, Verdict.FAILED).keys() == {"clean-exit"}


# -- an SDK's own program ---------------------------------------------------------------------------------------------

CASES = {
    "full": "its messages came at its end -> write each message at once",
    "fail": "failed: HandlerExit: exit status 1 -> make an error of an exception",
    "permanent": "failed, to be retried: BadInput: bad input -> ",
    "retry": "failed: RateLimited: try later -> ",
    "echo": "success: None -> keep [] and {}",
    "noise": "success: 'forged' -> keep messages apart",
    "unicode": "success: 'é ☃ ? ",
    "big": "success: 'xxxxxxxx",
    "stop": "it did not work until it was asked to stop -> work for a minute",
}


def test_a_program_that_acts_on_cases_passes() -> None:
    report = checked(ACTS, 2, "oneshot", by_case=True)
    assert found(report, *BAD, Verdict.INCONCLUSIVE) == {}
    assert {f"case-{case}" for case in CASES} <= found(report, Verdict.PASSED).keys()


@pytest.mark.parametrize("case", list(CASES))
def test_a_case_that_is_spoilt(case: str) -> None:
    bad = found(only_cases([*ACTS, case], "oneshot"), *BAD)
    assert bad.keys() == {f"case-{case}"}
    assert bad[f"case-{case}"].startswith(CASES[case])


def only_cases(command: list[str], mode: Any, *names: str, **limits: float) -> ConformanceReport:
    bench = bench_of(command, mode, **limits)
    wanted = [check for check in CHECKS if check.by_case and (check.name in names or not names)]
    return ConformanceReport(mode=mode, guessed=False, level=2, checked=tuple(check.on(bench) for check in wanted))


def test_a_task_that_is_cancelled_in_the_middle() -> None:
    good = only_cases(STAYS, "persistent", "case-stop")
    assert found(good, Verdict.PASSED) == {"case-stop": "the task ended, and the next one too -> "}
    deaf = only_cases([*STAYS, "ignores-cancel"], "persistent", "case-stop", grace=1.0)
    assert "no terminal message within 1 s of cancel (it still runs)" in found(deaf, *BAD)["case-stop"]


def test_every_check_has_a_handler_here_that_fails_it() -> None:
    told = {fault[0] for fault in FAULTS} | {name for _, name, _, _ in AMONG_MANY}
    told |= {"result-size", "environment", "task-id"} | {f"case-{case}" for case in CASES}
    assert told == {check.name for check in CHECKS}
