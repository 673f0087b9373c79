"""`gridsidecar dead replay`: tells what comes of each letter."""

from __future__ import annotations

from collections import Counter

from gridsidecar.cli.letters import say_unknown
from gridsidecar.cli.parts import connected, is_handled, open_to_wait
from gridsidecar.cli.screen import clean, json_text, say
from gridsidecar.config.settings import Settings
from gridsidecar.dead_letters import Letter, Replay, Replayed, replay
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.shapes import letter_object
from gridsidecar.store import make_store
from gridsidecar.task import Task

OBSTACLES = {
    Replay.OTHER_QUEUE: "it was refused on queue {}; name that queue with --queue",
    Replay.REFUSED_AGAIN: "it would be refused again: {}",
    Replay.NOT_FAILED: "its task has not failed, it is {}, and drops a message more; "
    "`gridsidecar dead drop` removes it",
}


async def replay_letters(settings: Settings, ids: set[str], as_json: bool) -> int:
    """Replay the letters of these ids, or without ids all of this queue; the exit code."""
    store = make_store(settings.store, settings.broker.queue)
    counts: Counter[Replay] = Counter()
    unknown = set(ids)
    try:
        await open_to_wait(store, settings)
        async with connected(settings.broker) as broker:
            await broker.open()
            async for replayed in replay(broker, store, settings.broker, ids):
                unknown -= replayed.letter.ids
                counts[replayed.outcome] += 1
                _tell(replayed, settings, as_json)
    finally:
        await store.close()
        say(_summary(counts))
    if unknown:
        return say_unknown(unknown, settings.broker)
    return EX_FAILED if _left(counts) else EX_OK


def _tell(replayed: Replayed, settings: Settings, as_json: bool) -> None:
    letter = replayed.letter
    if replayed.outcome is Replay.SENT:
        print(json_text(letter_object(letter)) if as_json else clean(letter.id), flush=True)
        _warn(letter, settings)
    elif (words := OBSTACLES.get(replayed.outcome)) is not None:
        say(f"{letter.id or 'a letter without an id'}: {words.format(replayed.detail)}")


def _warn(letter: Letter, settings: Settings) -> None:
    if isinstance(letter.content, Task) and not is_handled(settings, letter.content.task_type):
        say(
            f"{letter.id}: this configuration has no handler for its type {letter.content.task_type}; "
            "it runs only where a worker has one"
        )


def _left(counts: Counter[Replay]) -> int:
    return sum(counts[outcome] for outcome in OBSTACLES)


def _summary(counts: Counter[Replay]) -> str:
    more = f", {counts[Replay.SAME_TASK]:,} more of the same tasks stay" if counts[Replay.SAME_TASK] else ""
    left = f", {_left(counts):,} left where they are" if _left(counts) else ""
    return f"{counts[Replay.SENT]:,} replayed{more}{left}"
