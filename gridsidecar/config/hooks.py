"""The settings of hooks."""

from __future__ import annotations

from pydantic import Field

from gridsidecar.config.section import Section
from gridsidecar.config.values import Argv, Positive


class HookSettings(Section):
    """Commands to run when the worker or a task starts or ends. Each is a list, never a shell string."""

    on_startup: Argv | None = Field(
        default=None, description="Before the first task is taken; a failure stops the start."
    )
    on_shutdown: Argv | None = Field(default=None, description="When the last task has ended.")
    on_task_start: Argv | None = Field(default=None, description="Before each attempt, with the task on stdin.")
    on_task_end: Argv | None = Field(
        default=None, description="After each attempt is stored, with the task and its end on stdin."
    )
    timeout: Positive = Field(default=30, description="Seconds that a hook may take; then it is killed.")
