"""`gridsidecar health`: what a sidecar last wrote of itself. It runs every few seconds beside the work, so it imports
next to nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

DEFAULT_FILE = "/tmp/gridsidecar.health"  # noqa: S108  # the one place that a read-only container can write to
LONGEST_SILENCE = 30.0  # seconds; one is written at least each five
EX_OK, EX_UNWELL, EX_USAGE = 0, 1, 64
BROKEN, NOT_READY = "broken", "not ready"
USAGE = f"usage: gridsidecar health [--ready] [FILE]    (FILE: worker.heartbeat_file, else {DEFAULT_FILE})"


def write(at: float, broken: list[str], not_ready: list[str]) -> str:
    """The file's text: its monotonic second, then a line for each reason."""
    lines = [f"{at:.3f}"]
    for kind, reasons in ((BROKEN, broken), (NOT_READY, not_ready)):
        lines += [f"{kind}\t{' '.join(reason.split())}" for reason in reasons]
    return "\n".join(lines) + "\n"


def judge(text: str, now: float, *, ready: bool) -> tuple[int, str]:
    """Exit code and a sentence."""
    first, *lines = text.splitlines() or [""]
    try:
        silence = now - float(first)
    except ValueError:
        return EX_UNWELL, "the heartbeat cannot be read: is this the sidecar's worker.heartbeat_file?"
    if not 0 <= silence + 1 <= LONGEST_SILENCE + 1:  # of another start of the machine it may lie ahead
        return EX_UNWELL, f"no heartbeat for {abs(silence):.0f} seconds: the sidecar hangs or is gone"
    kinds = (BROKEN, NOT_READY) if ready else (BROKEN,)
    reasons = [reason for kind, _, reason in (line.partition("\t") for line in lines) if kind in kinds]
    if reasons:
        return EX_UNWELL, "; ".join(reasons)
    return EX_OK, "ready" if ready else "alive"


def check(file: str, *, ready: bool) -> tuple[int, str]:
    """Exit code and a sentence."""
    try:
        with open(file, encoding="utf-8", errors="replace") as heartbeat:
            text = heartbeat.read(65536)
    except OSError as error:
        hint = "has the sidecar started, and does worker.heartbeat_file name this file?"
        return EX_UNWELL, f"no heartbeat in {file}: {error.strerror}; {hint}"
    # The machine's, as that of the event loop that wrote it: the same for all processes, and it stands still in sleep.
    code, sentence = judge(text, time.monotonic(), ready=ready)  # noqa: TID251
    return code, f"{file}: {sentence}" if code else sentence


def main(arguments: list[str], translate: Callable[[str], str] = str) -> int:
    """The exit code."""
    flags = [word for word in arguments if word.startswith("-")]
    files = [word for word in arguments if not word.startswith("-")]
    if set(flags) - {"--ready"} or len(files) > 1:
        print(translate(USAGE), file=sys.stderr)
        return EX_USAGE
    code, sentence = check(files[0] if files else DEFAULT_FILE, ready=bool(flags))
    print(translate(sentence), file=sys.stderr if code else sys.stdout)
    return code
