"""Which task types the handlers of a configuration take."""

from __future__ import annotations

from gridsidecar.config.settings import Settings

NO_HANDLER = "(none)"  # the handler of a configuration that a command does not ask for any
NAMED = 10  # handlers in a hint


def is_handled(settings: Settings, task_type: str) -> bool:
    """Whether a handler takes such tasks; a configuration that has no handlers at all does not know."""
    names = settings.handlers.keys() - {NO_HANDLER}
    return not names or bool(names & {task_type, "default"})


def hint_of(settings: Settings, task_type: str) -> str | None:
    """What to tell a producer whose type nobody takes here: another worker may. None where all is well."""
    if is_handled(settings, task_type):
        return None
    names = sorted(settings.handlers.keys() - {NO_HANDLER})
    there = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    if task_type == "default":
        return f"no handler of this configuration takes the type default, that of a task without one; there are {there}"
    return f"no handler of this configuration takes the type {task_type}; there are {there}"
