"""All checks, in the order in which they are made and told."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gridsidecar.conformance import cases, concurrent_tasks, level0, level1, level2, served
from gridsidecar.conformance.bench import Bench
from gridsidecar.conformance.verdict import CheckResult, ConformanceReport, ReportedCheck, Verdict


class Check(Struct, frozen=True):
    """`requirements` are ids of protocol/README.md."""

    name: str
    level: int
    requirements: tuple[str, ...]
    find: Callable[[Bench], CheckResult]
    persistent_only: bool = False
    by_case: bool = False  # only for a program that acts on `data.case`

    def on(self, bench: Bench) -> ReportedCheck:
        return ReportedCheck(name=self.name, requirements=self.requirements, level=self.level, finding=self.find(bench))


CHECKS = (
    Check("ends", 0, ("O8",), level0.ends),
    Check("succeeds", 0, ("O7",), level0.succeeds),
    Check("valid-messages", 1, ("F1", "F2", "F6", "V1", "M1", "M14", "L7"), level1.valid_messages),
    Check("task-id", 1, ("M13", "P3"), level1.task_ids),
    Check("near-misses", 1, ("F1", "F2", "V1"), level1.near_misses),
    Check("own-types", 1, ("V5",), level1.own_types),
    Check("one-outcome", 1, ("M4",), level1.one_outcome),
    Check("clean-exit", 1, ("O5",), level1.clean_exit),
    Check("progress-in-time", 1, ("F9",), level1.progress_in_time),
    Check("unknown-fields", 1, ("V3",), level1.unknown_fields),
    Check("large-task", 1, ("T6",), level1.large_task),
    Check("result-size", 1, ("L3",), level1.result_size),
    Check("sigterm", 1, ("S2",), level1.stops),
    Check("leftovers", 1, ("S5",), level1.leftovers),
    Check("environment", 1, ("E4",), level1.environment),
    Check("stray-output", 1, ("C6",), level1.stray_output),
    Check("events-pipe", 2, ("C6",), level2.events_pipe),
    Check("without-pipe", 2, ("C2",), level2.without_pipe),
    Check("checkpoint", 2, ("M11",), level2.checkpoints),
    Check("ready", 2, ("P1",), level2.ready, persistent_only=True),
    Check("one-channel", 2, ("P12",), level2.one_channel, persistent_only=True),
    Check("two-tasks", 2, ("P6", "P11"), level2.two_tasks, persistent_only=True),
    Check("unknown-messages", 2, ("V6",), level2.unknown_messages, persistent_only=True),
    Check("end-of-stdin", 2, ("P7",), level2.end_of_stdin, persistent_only=True),
    Check("cancel", 2, ("P9",), level2.cancel, persistent_only=True),
    Check("many-tasks", 2, ("P6", "P15"), concurrent_tasks.at_once, persistent_only=True),
    Check("many-cancel", 2, ("P9",), concurrent_tasks.cancel_one, persistent_only=True),
    Check("many-end-of-stdin", 2, ("P7",), concurrent_tasks.end_of_stdin, persistent_only=True),
    Check("case-full", 2, ("F9", "M1"), cases.full, by_case=True),
    Check("case-fail", 2, ("M1",), cases.fail, by_case=True),
    Check("case-permanent", 2, ("O7",), cases.permanent, by_case=True),
    Check("case-retry", 2, ("O7",), cases.retry, by_case=True),
    Check("case-echo", 2, ("T2", "M1"), cases.echo, by_case=True),
    Check("case-noise", 2, ("C6",), cases.noise, by_case=True),
    Check("case-unicode", 2, ("F2", "X2"), cases.characters, by_case=True),
    Check("case-big", 2, ("L3",), cases.big, by_case=True),
    Check("case-many", 2, ("P15",), concurrent_tasks.mixed_cases, persistent_only=True, by_case=True),
    Check("case-stop", 2, ("S2", "P9"), cases.stop, by_case=True),
)

SERVER_CHECKS = (
    Check("ends", 0, ("H5",), level0.ends),
    Check("succeeds", 0, ("O7", "H5"), level0.succeeds),
    *(
        check
        for check in CHECKS
        if check.name in ("valid-messages", "task-id", "near-misses", "own-types", "one-outcome")
    ),
    Check("media-type", 1, ("H3",), served.media_type),
    *(check for check in CHECKS if check.name in ("progress-in-time", "unknown-fields", "large-task", "result-size")),
    Check("at-once", 1, ("H9",), served.at_once),
    Check("closed-connection", 1, ("H7",), served.closed_connection),
)


def check_handler(
    bench: Bench,
    level: int,
    told: Callable[[ReportedCheck], None] = lambda _: None,
    *,
    strict: bool = False,
    by_case: bool = False,
) -> ConformanceReport:
    """Every check up to this level; `told` hears of each as soon as it is made. `strict` makes warnings failures.

    With `by_case`, also those for a program that acts on `data.case`.

    NotStartable, OSError or ValueError when the command cannot be started, or the server is not there.
    """
    mode = bench.mode
    done = []
    for check in SERVER_CHECKS if mode == "http" else CHECKS:
        if check.level > level or (check.persistent_only and mode != "persistent") or (check.by_case and not by_case):
            continue
        found = check.on(bench)
        done.append(found.strictly() if strict else found)
        told(done[-1])
        if check.name == "ends" and found.finding.status is not Verdict.PASSED:
            break  # all others would only wait as long
    return ConformanceReport(mode=mode, guessed=bench.guessed, level=level, checked=tuple(done))
