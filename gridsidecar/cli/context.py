"""What commands use of the product: a part of its settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from gridsidecar.cli.config_options import config_file
from gridsidecar.cli.terminal import say
from gridsidecar.config.handled_types import NO_HANDLER
from gridsidecar.errors import EX_FAILED

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings

ConfigPart = Literal["broker", "store", "handlers"]

# Never opened or started: they stand where a command asks for nothing.
_STAND_INS: dict[ConfigPart, tuple[str, object]] = {
    "broker": ("broker.url", "sqlite:///not-used.db"),
    "store": ("store.url", "sqlite:///not-used.db"),
    "handlers": (f"handlers.{NO_HANDLER}.command", ["true"]),
}


def load_parts(config: str | None, *needed: ConfigPart, flags: dict[str, object] | None = None) -> Settings:
    """Settings of which only the `needed` parts mean anything: a producer knows no handlers, `exec` no servers."""
    from gridsidecar import language, telemetry
    from gridsidecar.config.load import load

    telemetry.configure("WARNING", "console", language=language.spoken)  # what it has to say is for whoever typed it
    stand_ins = dict(pair for part, pair in _STAND_INS.items() if part not in needed)
    return load(config_file(config), overrides=stand_ins | (flags or {}), environ=os.environ)


def unknown_tasks(ids: list[str], place: str) -> int:
    """Say that there are no such tasks; the exit code."""
    for task_id in ids:
        say(f"no task {task_id} in {place}; a task appears there when a worker takes it up")
    return EX_FAILED
