"""The tasks that one process has, and who hears what it says."""

from __future__ import annotations

from collections.abc import Iterator

from gridsidecar.handler.assignment import Assignment
from gridsidecar.handler.idle_output import IdleOutput


class Assignments:
    """What names a task is that task's. All else is the only task's, and nobody's where there are several or none.

    `ear` takes what names none: the only `Assignment`, else `IdleOutput`, which the tasks are shown in the end.
    """

    def __init__(self) -> None:
        self._assignments: dict[str, Assignment] = {}
        self.attempts: dict[str, int] = {}  # by task id
        self.between = IdleOutput()
        self.ear: Assignment | IdleOutput = self.between
        self.several = False  # there are several, so that what names none of them is nobody's
        self._mixed = False  # there were several since there was none

    def __len__(self) -> int:
        return len(self._assignments)

    def __iter__(self) -> Iterator[Assignment]:
        return iter(list(self._assignments.values()))

    def __contains__(self, assignment: Assignment) -> bool:
        return self._assignments.get(assignment.claim.task_id) is assignment

    def __getitem__(self, task_id: str) -> Assignment:
        return self._assignments[task_id]

    def begin(self, assignment: Assignment) -> None:
        """What was said until now is not about this task."""
        if not self._assignments and not self.between.silent:
            self.between.move_to(assignment)
            self.between = IdleOutput()
        task_id = assignment.claim.task_id
        assignment.hears_from = self.between.total
        self._assignments[task_id] = assignment
        self.attempts[task_id] = assignment.claim.attempt
        self._update()

    def end(self, assignment: Assignment) -> None:
        """It is over, and is shown what was said meanwhile beside all tasks."""
        task_id = assignment.claim.task_id
        del self._assignments[task_id], self.attempts[task_id]
        if self._mixed and self.between.total > assignment.hears_from:
            self.between.show(assignment)
        if self._mixed and not self._assignments:
            self._mixed, self.between = False, IdleOutput()
        self._update()

    def _update(self) -> None:
        count = len(self._assignments)
        self.several = count > 1
        self._mixed = self._mixed or self.several
        self.ear = next(iter(self._assignments.values())) if count == 1 else self.between
