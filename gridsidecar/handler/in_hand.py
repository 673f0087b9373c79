"""The tasks that one process has, and who hears what it says."""

from __future__ import annotations

from collections.abc import Iterator

from gridsidecar.handler.between import Between
from gridsidecar.handler.turn import Turn


class InHand:
    """What names a task is that task's. All else is the only task's, and nobody's where there are several or none.

    `ear` takes what names none: the only `Turn`, else `Between`, which the tasks are shown in the end.
    """

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self.attempts: dict[str, int] = {}  # by task id
        self.between = Between()
        self.ear: Turn | Between = self.between
        self.shared = False  # there are several, so that what names none of them is nobody's
        self._mixed = False  # there were several since there was none

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._turns.values()))

    def __contains__(self, turn: Turn) -> bool:
        return self._turns.get(turn.claim.task_id) is turn

    def __getitem__(self, task_id: str) -> Turn:
        return self._turns[task_id]

    def begin(self, turn: Turn) -> None:
        """What was said until now is not about this task."""
        if not self._turns and not self.between.silent:
            self.between.pass_on(turn)
            self.between = Between()
        task_id = turn.claim.task_id
        turn.hears_from = self.between.total
        self._turns[task_id] = turn
        self.attempts[task_id] = turn.claim.attempt
        self._look()

    def end(self, turn: Turn) -> None:
        """It is over, and is shown what was said meanwhile beside all tasks."""
        task_id = turn.claim.task_id
        del self._turns[task_id], self.attempts[task_id]
        if self._mixed and self.between.total > turn.hears_from:
            self.between.show(turn)
        if self._mixed and not self._turns:
            self._mixed, self.between = False, Between()
        self._look()

    def _look(self) -> None:
        count = len(self._turns)
        self.shared = count > 1
        self._mixed = self._mixed or self.shared
        self.ear = next(iter(self._turns.values())) if count == 1 else self.between
