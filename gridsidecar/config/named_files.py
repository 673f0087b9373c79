"""The files that a configuration names, by key, as they are on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import sqlite_path


def unusable(settings: Settings) -> Iterator[tuple[str, str]]:
    """The key of each with which a start here would end, and why."""
    for key, url in (*(("broker.url", url) for url in settings.broker.urls), ("store.url", settings.store.url)):
        if url.startswith("sqlite:") and (problem := _of_database(sqlite_path(url))):
            yield key, problem
    if settings.http.listen is not None:
        for name in ("token_file", "read_token_file"):
            file = getattr(settings.http, name)
            if file is not None and (problem := _of_token(file)):
                yield f"http.{name}", problem


def _of_database(path: str) -> str | None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f"the folder {folder} does not exist; create it"
    if os.path.isdir(path):
        return f"{path} is a folder; name a file"
    return None


def _of_token(file: str) -> str | None:
    try:
        return None if Path(file).read_bytes().strip() else f"{file} holds no token"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
