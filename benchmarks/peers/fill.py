"""Sends tasks as the peer's own producer does: `python -m benchmarks.peers.fill celery|dramatiq cat|noop N`."""

from __future__ import annotations

import sys


def main(peer: str, task: str, tasks: int) -> None:
    if peer == "celery":
        from benchmarks.peers import celery_app

        send = getattr(celery_app, task).delay
    else:
        from benchmarks.peers import dramatiq_app

        send = getattr(dramatiq_app, task).send
    for _ in range(tasks):
        send()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
