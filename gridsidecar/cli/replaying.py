"""`gridsidecar dead replay`: tells what comes of each letter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gridsidecar.cli.letter_view import id_of, ids_of, say_unknown, say_unnamed
from gridsidecar.cli.terminal import clean, json_text, say
from gridsidecar.config.handled_types import is_handled
from gridsidecar.config.settings import Settings
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.fleet import ReplayResult, Where, reach
from gridsidecar.operations.dead_letters import Replay

if TYPE_CHECKING:
    from gridsidecar.views import LetterView

OBSTACLES = {
    Replay.OTHER_QUEUE: "it was refused on queue {}; name that queue with --queue",
    Replay.REFUSED_AGAIN: "it would be refused again: {}",
    Replay.NOT_FAILED: "its task has not failed, it is {}, and drops a message more; "
    "`gridsidecar dead drop` removes it",
}


async def replay_letters(asked: Where, ids: set[str], as_json: bool) -> int:
    """Replay the letters of these ids, or without ids all of this queue; the exit code."""
    counts: Counter[Replay] = Counter()
    unknown, unnamed = set(ids), 0
    async with reach(asked, makes=True) as fleet:
        try:
            async for replayed in fleet.queue.replay(ids):
                counts[Replay(replayed.outcome)] += 1
                if replayed.letter is None:
                    unnamed += 1
                    continue
                unknown -= ids_of(replayed.letter)
                _tell(replayed.letter, replayed, asked.settings, as_json)
        finally:
            say_unnamed(unnamed)
            say(_summary(counts))
        if unknown:
            return await say_unknown(unknown, fleet.queue)
    return EX_FAILED if _left(counts) else EX_OK


def _tell(letter: LetterView, replayed: ReplayResult, settings: Settings | None, as_json: bool) -> None:
    outcome = Replay(replayed.outcome)
    if outcome is Replay.SENT:
        print(json_text(letter) if as_json else clean(id_of(letter)), flush=True)
        _warn(letter, settings)
    elif (words := OBSTACLES.get(outcome)) is not None:
        say(f"{id_of(letter) or 'a letter without an id'}: {words.format(replayed.detail)}")


def _warn(letter: LetterView, settings: Settings | None) -> None:
    task_type = letter["task_type"]
    if settings is not None and task_type is not None and not is_handled(settings, task_type):
        say(
            f"{id_of(letter)}: this configuration has no handler for its type {task_type}; "
            "it runs only where a worker has one"
        )


def _left(counts: Counter[Replay]) -> int:
    return sum(counts[outcome] for outcome in OBSTACLES)


def _summary(counts: Counter[Replay]) -> str:
    more = f", {counts[Replay.SAME_TASK]:,} more of the same tasks stay" if counts[Replay.SAME_TASK] else ""
    left = f", {_left(counts):,} left where they are" if _left(counts) else ""
    return f"{counts[Replay.SENT]:,} replayed{more}{left}"
