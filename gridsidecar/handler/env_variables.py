"""The variables that a handler or hook sees: a short list of harmless variables, what its owner names, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.rules.task import Claim
from gridsidecar.rules.trace import Trace
from gridsidecar.wire import PROTOCOL_VERSION

_ALLOWED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"})
# Text from a producer reaches a variable only when no shell can misread it.
_SAFE = re.compile(r"[A-Za-z0-9._:@/-]{1,255}")
_SAFE_STATE = re.compile(r"[A-Za-z0-9_.:@/=,+-]{1,512}")


def hook_environment(name: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The part that is the same for every run of a hook."""
    return {**_passed(inherited, _ALLOWED), "GRIDSIDECAR": "1", "GRIDSIDECAR_HOOK": name}


def handler_environment(settings: HandlerSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The part that is the same for every attempt of a handler."""
    return {
        **_passed(inherited, _ALLOWED.union(settings.pass_env)),
        **settings.env,
        "GRIDSIDECAR": "1",
        "GRIDSIDECAR_PROTOCOL": str(PROTOCOL_VERSION),
        "GRIDSIDECAR_MODE": settings.mode,
    }


def _passed(inherited: Mapping[str, str], wanted: Set[str]) -> dict[str, str]:
    """What a child gets of our own environment. Credentials of ours are never in it."""
    return {
        "PYTHONUNBUFFERED": "1",  # else the output of a Python program that gets killed is lost
        **{name: value for name, value in inherited.items() if name in wanted or name.startswith("LC_")},
    }


def attempt_environment(claim: Claim, deadline_ms: int | None, trace: Trace | None) -> dict[str, str]:
    """The part that belongs to one attempt; what does not fit a variable safely is left out."""
    task = claim.task
    variables = {
        "GRIDSIDECAR_ATTEMPT": str(claim.attempt),
        "GRIDSIDECAR_MAX_RETRY_COUNT": str(claim.max_retry_count),
    }
    if _SAFE.fullmatch(task.task_id):
        variables["GRIDSIDECAR_TASK_ID"] = task.task_id
    if _SAFE.fullmatch(task.task_type):
        variables["GRIDSIDECAR_TASK_TYPE"] = task.task_type
    if deadline_ms is not None:
        variables["GRIDSIDECAR_DEADLINE_MS"] = str(deadline_ms)
    if trace is not None:
        variables["TRACEPARENT"] = trace.parent
        if trace.state is not None and _SAFE_STATE.fullmatch(trace.state):
            variables["TRACESTATE"] = trace.state
    return variables
