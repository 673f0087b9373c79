"""Templates: `{{name}}` is a value; where it stands alone on its line it is a block, which may also be nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from textwrap import indent

from gridsidecar.manifests.comments import told

_PLACE = re.compile(r"^( *)\{\{(\w+)\}\}\n|\{\{(\w+)\}\}", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z/][\w./@-]*(?::[\w./@-]+)*", re.ASCII)
_OTHERWISE = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}  # words that YAML has a meaning for


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template of this package with its values. What is put in is not looked at again."""
    text = told(files(__package__).joinpath("templates", template).read_text("utf-8"))

    def value(found: re.Match[str]) -> str:
        if found[3]:
            return values[found[3]]
        return indent(values[found[2]], found[1])

    return _PLACE.sub(value, text)


def scalar(text: str) -> str:
    """A text as YAML has it: as it is, or in quotes where it would mean something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHERWISE:
        return text
    return _quoted(json.dumps(text, ensure_ascii=False))


def words(*items: str) -> str:
    """A list on one line."""
    return _quoted(json.dumps(items, ensure_ascii=False))


def _quoted(text: str) -> str:
    """What JSON leaves as it is and YAML takes for the end of a line is escaped, too."""
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)
