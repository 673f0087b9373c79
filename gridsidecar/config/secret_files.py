"""Secrets that stand in files: `${file:/path}` inside a text, read again where a connection is made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

from gridsidecar.config.section import Section

LARGEST = 65_536  # bytes
_PART = re.compile(r"\$\$|\$\{file:([^}]*)\}")


class InFile(Struct, frozen=True):
    """A value of which only the file is known."""

    path: str


def reference(path: str) -> str:
    """ValueError where the path cannot stand in one."""
    if not path or "}" in path or "\0" in path:
        raise ValueError("the path of a secret's file must not be empty or contain }")
    return f"${{file:{path}}}"


def read_secret(path: str) -> str:
    """What a file holds, without the mark and the line end that editors add. ValueError says why it is no use."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read the file {path}: {error.strerror or error}") from None
    except ValueError:  # not UTF-8, or a NUL in the path
        raise ValueError(f"the file {path} holds no text in UTF-8") from None
    text = text.rstrip("\r\n")
    if len(content) > LARGEST or "\0" in text:
        raise ValueError(f"the file {path} holds no secret: it is longer than {LARGEST} bytes, or binary")
    if not text.strip():
        raise ValueError(f"the file {path} is empty")
    return text


def filled(recipe: str) -> str:
    """The text with what its files hold. Inside a URL that is %-encoded, so that a password may have any characters.

    ValueError as `read_secret` raises it.
    """

    def part(found: re.Match[str]) -> str:
        if found[1] is None:
            return "$"
        secret = read_secret(found[1])
        return quote(secret, safe="") if "://" in recipe[: found.start()] else secret

    return _PART.sub(part, recipe)


class ServerSection(Section):
    """A section with the URL of a server, or those of several, whose passwords may change in their files."""

    _recipes: Mapping[int | None, str] = {}

    @property
    def recipes(self) -> Mapping[int | None, str]:
        """URLs with references to the files that hold a part of them, by their place in a list; None: the whole text.
        Empty where no file does."""
        return self._recipes

    def renew_by(self, recipes: Mapping[int | None, str]) -> None:
        self._recipes = recipes

    def renewed(self, text: str, place: int | None = None) -> str:
        """For a new connection: with what its files hold by now, or as it was where they cannot be read."""
        try:
            return filled(self._recipes[place])
        except (KeyError, ValueError):
            return text
