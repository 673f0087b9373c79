"""The sidecar's side of the protocol, by hand: a process over plain pipes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

LIMIT = 60  # seconds
Event = dict[str, Any]


class Conversation:
    """A running handler: what it says on the events pipe comes out of `event`."""

    def __init__(self, command: Sequence[str], mode: str, folder: Path, *, pipe: bool = True) -> None:
        reader, writer = os.pipe()
        self._events: queue.Queue[Event | None] = queue.Queue()
        variables = {"GRIDSIDECAR_EVENTS": f"/dev/fd/{writer}"} if pipe else {}
        self._stderr = (folder / "stderr").open("wb")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            pass_fds=[writer],
            env=_environment(folder, mode) | variables,
            start_new_session=True,
        )
        os.close(writer)
        if not pipe:
            os.close(reader)
            assert self.process.stdout is not None
            reader = os.dup(self.process.stdout.fileno())
        self._reader = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reader.start()

    def _read(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as stream:
            for line in stream:
                self._events.put(json.loads(line))
        self._events.put(None)

    def send(self, *messages: Event | bytes) -> None:
        assert self.process.stdin is not None
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
            self.process.stdin.write(line)
        self.process.stdin.flush()

    def event(self) -> Event:
        """The next event, as soon as it is there."""
        event = self._events.get(timeout=LIMIT)
        assert event is not None, "the handler has closed its pipe"
        return event

    def fall_asleep(self) -> None:
        """Wait until it waits for something, at three looks in a row."""
        asleep, until = 0, time.monotonic() + LIMIT
        while asleep < 3:
            assert time.monotonic() < until, "it never comes to rest"
            state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            asleep = asleep + 1 if state == "S" else 0
            time.sleep(0.005)

    def until_end(self) -> list[Event]:
        """All events up to the terminal one."""
        events = [self.event()]
        while events[-1]["type"] not in ("result", "error"):
            events.append(self.event())
        return events

    def rest(self) -> list[Event]:
        """What comes until nobody holds the pipe any more."""
        return list(iter(lambda: self._events.get(timeout=LIMIT), None))

    def close(self) -> int:
        """End its stdin; the exit code."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.process.wait(LIMIT)

    def terminate(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.close()
        self._reader.join(LIMIT)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._stderr.close()


@contextlib.contextmanager
def converse(
    command: Sequence[str], mode: Literal["oneshot", "persistent"], folder: Path, *, pipe: bool = True
) -> Iterator[Conversation]:
    """A handler that is gone afterwards."""
    conversation = Conversation(command, mode, folder, pipe=pipe)
    try:
        yield conversation
    finally:
        conversation.end()


def task(data: Any = None, task_id: str = "t1", **run: Any) -> Event:
    """A task message as the sidecar writes it."""
    return {
        "gs": 1,
        "type": "task",
        "task_id": task_id,
        "task_type": "default",
        "data": data,
        "max_retry_count": 3,
        "run": {
            "attempt": 1,
            "idempotency_key": task_id,
            "redelivered": False,
            "timeout_s": 300,
            "grace_s": 10,
            "deadline_ms": 4_000_000_000_000,
            "traceparent": None,
            "checkpoint": None,
            **run,
        },
    }


def cancel(task_id: str) -> Event:
    return {"gs": 1, "type": "cancel", "task_id": task_id, "attempt": 1, "reason": "timeout", "grace_s": 5}


def _environment(folder: Path, mode: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "GRIDSIDECAR": "1",
        "GRIDSIDECAR_PROTOCOL": "1",
        "GRIDSIDECAR_MODE": mode,
    }
