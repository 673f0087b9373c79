"""The delivery rules hold in every interleaving of a small run, and each rule that is switched off is found out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SMALL = "slots=1 early=0 trace=0 first=1"
AS_BEFORE = f"{SMALL} ahead=0 sent_anew=0"  # nothing claimed ahead, nothing sent anew: fewer states
MOST_SECONDS = 300  # on a busy machine; each run takes at most a few by itself

LOST = "a task waits without a message and is not handed off"
STUCK = "stuck: no end can be reached"
OVERLAP = "two runs overlap"
CRASH_SPENT = "a claim that never started spends a crash"
INTERRUPTION_SPENT = "a claim that never started spends an interruption"

# What switches a rule off and where that does harm: sizes and faults; what then must not hold.
BROKEN = {
    "mark_then_ack": ("faults=0", LOST),
    "interrupted_is_written": ("faults=2 only=shutdown max_crashes=1", "clean shutdowns end as WorkerLost"),
    "resume": ("faults=1 only=claim_lost", STUCK),
    "reconcile": ("faults=2 only=claim_lost,delayed_dropped", STUCK),
    "reread": ("faults=1 only=write_lost", LOST),
    "own_message": ("faults=1 only=crash", LOST),
    "move_next_check": ("faults=1 only=crash", STUCK),
    "wake_orphans": ("faults=2 only=crash,delayed_dropped", STUCK),
    "cancel_wins": ("faults=1 only=cancel", "a cancelled task starts again"),
    "unseen_ends": ("faults=1 only=cancel", "a cancelled task starts again"),
    "completes_once": ("faults=2 only=cancel,produced_twice", "a callback is owed twice"),
    "attempt_grows": ("faults=2 only=pause,retried slots=2 hand_off=0", "a stale write is accepted"),
    "budget_of_failures": ("faults=1 only=crash", "fails with retries left"),
    "trust": ("faults=1 only=outage", OVERLAP),
    "one_copy": ("faults=1 only=retried slots=2 early=1", "messages are left for ever"),
    "wake_interrupted": ("faults=1 only=shutdown", LOST),
    "retry_keeps_handed_off": ("faults=0", LOST),
    "refused_delay_hands_off": ("faults=1 only=delayed_refused", LOST),
    "own_lease_first": ("faults=1 only=pause", OVERLAP),
    "send_then_ack": ("faults=1 only=crash sent_anew=1", LOST),
    "spare_unstarted": ("faults=1 only=crash ahead=1", CRASH_SPENT),
    "rescue_is_not_ahead": ("faults=0 poison=1 ahead=1", "a poison starts too often"),
    "slot_for_rescue": ("faults=1 only=crash poison=1 ahead=1", CRASH_SPENT),
    "start_under_lease": ("faults=1 only=pause ahead=1", OVERLAP),
    "fenced_mark": ("faults=2 only=pause,crash hand_off=0 ahead=1", CRASH_SPENT),
    "unclaim_is_free": ("faults=1 only=shutdown patience=1 ahead=1", INTERRUPTION_SPENT),
    "suspect_alone": ("faults=0 poison=2", "a poison starts too often"),
    "park_under_lock": ("faults=1 only=type_paused", STUCK),
    "parked_is_handed_off": ("faults=1 only=type_paused", LOST),
    "forget_last": ("faults=1 only=type_paused", STUCK),
    "looked_for_again": ("faults=2 only=type_paused,crash", STUCK),
    "unconfirmed_is_handed_off": ("submitted=1 faults=1 only=submitter_dies", LOST),
    "publish_then_note": ("submitted=1 faults=1 only=submitter_dies", LOST),
    "fenced_note": ("submitted=1 deferred=1 faults=1 only=delayed_refused", LOST),
    "fenced_withdrawal": ("submitted=1 early=1 faults=1 only=publish_refused", "what was refused runs"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, built."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ on the PATH; it builds the model of the delivery rules")
    program = tmp_path_factory.mktemp("model") / "delivery_model"
    flags = ("-O2", "-std=c++17", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", program, HERE / "delivery_model.cpp"], check=True, timeout=MOST_SECONDS)
    return program


def run(model: Path, settings: str) -> tuple[int, str]:
    answer = subprocess.run([model, *settings.split()], capture_output=True, text=True, timeout=MOST_SECONDS)
    return answer.returncode, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "settings",
    [
        "faults=1",
        "faults=1 deferred=1",
        "faults=2 only=cancel,retried,produced_twice",
        "faults=0 slots=2 early=1",
        "faults=2 only=type_paused,crash",
        "faults=2 only=shutdown patience=1",
        "faults=0 poison=1 poison_per_fault=0",
        "faults=0 poison=2 poison_per_fault=0",
        "faults=2 only=neighbour,crash",
        "faults=2 only=neighbour,cancel,shutdown",
        "faults=1 only=crash,shutdown,claim_lost,unclaim poison=1",
        "submitted=1 faults=1 ahead=0 sent_anew=0",
        "submitted=1 deferred=1 faults=1 ahead=0 sent_anew=0",
        "submitted=1 faults=2 only=submitter_dies,publish_refused,cancel,retried,produced_twice ahead=0",
    ],
)
def test_the_rules_hold(model: Path, settings: str) -> None:
    code, said = run(model, f"{SMALL} {settings}")
    assert "all hold" in said
    assert code == 0


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_is_switched_off_is_found_out(model: Path, rule: str) -> None:
    settings, violation = BROKEN[rule]
    code, said = run(model, f"{AS_BEFORE} {settings} {rule}=0")
    assert f"VIOLATION {violation}" in said
    assert code == 1
    assert run(model, f"{AS_BEFORE} {settings}")[0] == 0, "with the rule, nothing may be wrong here"


def test_every_rule_is_tried_or_said_to_be_no_more_than_useful(model: Path) -> None:
    code, said = run(model, "help")
    rules = re.findall(r"^(\w+) +1  (.*)$", said.partition("\nfaults ")[0], re.MULTILINE)
    assert code == 0
    assert len(rules) > len(BROKEN)
    assert [name for name, meaning in rules if "Holds without" not in meaning] == list(BROKEN)


def test_a_run_that_saw_too_little_does_not_pass(model: Path) -> None:
    code, said = run(model, f"{SMALL} faults=1 states=1000")
    assert "not all states were seen" in said
    assert code == 3


def test_an_unknown_word_is_no_run(model: Path) -> None:
    assert run(model, f"{SMALL} mark_than_ack=0")[0] == 2
