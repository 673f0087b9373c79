"""Configurations for the tests of manifests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.manifests.printing import CONFIG


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that a unit with a /tmp of its own sees."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration, with changes at dotted keys; None there takes a key away."""

    def write(changes: dict[str, Any] | None = None, text: str = "") -> Path:
        config = copy.deepcopy(CONFIG)
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            section = config
            for part in path:
                section = section.setdefault(part, {})
            if value is None:
                del section[last]
            else:
                section[last] = value
        file = tmp_path / "config.yaml"
        file.write_text(text or yaml.safe_dump(config, sort_keys=False))
        return file

    return write
