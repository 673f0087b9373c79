"""Pages of the repository, laid out as a site wants them: links follow, and whatever a page links to comes along."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote

CHINESE = ".zh-CN.md"
# A link, which may have code in it, or code, which may look as if it had a link in it.
_LINK = re.compile(r"(?P<text>!?\[(?:[^\]`\n]|`[^`\n]*`)*\])\((?P<target>[^)\s]+)\)|`+[^`\n]*`+")
_FENCE = re.compile(r"^ *(```|~~~)")
_OTHER_LANGUAGE = re.compile(r"^\[(中文|English)\]\(\S+\)$")  # the site has a switch of its own


class BrokenLink(Exception):
    """A page links to something that is not there."""


class Pages:
    """Copies pages from `root` to `folder`, each once, with all that they link to."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._copied: set[PurePosixPath] = set()

    def copy(self, page: str) -> None:
        """A Markdown file by its path in the repository, and its Chinese translation where there is one."""
        for path in (PurePosixPath(page), _in_chinese(PurePosixPath(page))):
            if (self._root / path).is_file():
                self._take(path)

    def _take(self, path: PurePosixPath) -> None:
        if path in self._copied:
            return
        self._copied.add(path)
        target = self._folder / place_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self._root / path
        if source.is_dir():
            target.write_text(self._listing(path))
        elif path.suffix == ".md":
            target.write_text(_followed(source.read_text(), lambda link: self._link(path, link)))
        else:
            shutil.copy(source, target)

    def _link(self, page: PurePosixPath, link: str) -> str:
        """Where it leads on the site. Raises BrokenLink."""
        if re.match(r"[a-z]+:|#|//", link):
            return link
        path, _, anchor = link.partition("#")
        linked = PurePosixPath(os.path.normpath(page.parent / path))
        if linked.name.endswith(CHINESE):  # the site leads to the page in the reader's language
            linked = linked.with_name(linked.name.removesuffix(CHINESE) + ".md")
        if not (self._root / linked).exists():
            raise BrokenLink(f"{page} links to {link}, which is not there")
        if (self._root / linked / "README.md").is_file():
            linked /= "README.md"
        self.copy(str(linked))
        self._take(linked)
        relative = os.path.relpath(place_of(linked), place_of(page).parent)
        return quote(relative) + (f"#{anchor}" if anchor else "")

    def _listing(self, folder: PurePosixPath) -> str:
        """A page for a folder that has none."""
        files = [file.name for file in sorted((self._root / folder).iterdir())]
        shown = [name for name in files if not name.startswith((".", "__pycache__"))]
        lines = [f"- [{name}]({self._link(folder / 'README.md', name)})" for name in shown]
        return "\n".join([f"# {folder}/", "", *lines, ""])


def place_of(path: PurePosixPath) -> PurePosixPath:
    """A file's path on the site: `docs/` is its root, a README the first page of its folder."""
    path = PurePosixPath(*path.parts[1:]) if path.parts[0] == "docs" else path
    if not path.suffix:
        return path / "index.md"
    return path.with_name(path.name.replace("README", "index", 1)) if path.suffix == ".md" else path


def _in_chinese(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(path.name.removesuffix(".md") + CHINESE)


def _followed(text: str, link: Callable[[str], str]) -> str:
    """The same with each link changed; what stands in code stays."""
    lines, fence = [], ""
    for line in text.splitlines():
        if found := _FENCE.match(line):
            fence = "" if fence == found[1] else fence or found[1]
        elif not fence and _OTHER_LANGUAGE.match(line):
            continue
        elif not fence:
            line = _LINK.sub(partial(_replaced, link=link), line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _replaced(found: re.Match[str], link: Callable[[str], str]) -> str:
    return found[0] if found["text"] is None else f"{found['text']}({link(found['target'])})"
