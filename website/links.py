"""Whether all that the built pages link to is on the site, headings too."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

TRANSLATED = "zh-CN"


class _Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links |= {values[name] for name in ("href", "src") if name in values}


def broken_links(site: Path) -> Iterator[str]:
    """A line for each link that leads nowhere."""
    pages = {file: _Page(file) for file in site.rglob("*.html")}
    for file, page in sorted(pages.items()):
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or parts.path.startswith("/"):  # the last: of the page for what is missing
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists():
                yield f"{file.relative_to(site)}: {link} is not there"
            elif anchor and target in pages and anchor not in pages[target].anchors | _in_english(target, site, pages):
                yield f"{file.relative_to(site)}: {link} names no heading"


def _in_english(page: Path, site: Path, pages: dict[Path, _Page]) -> set[str]:
    """The headings of the page that this one is a translation of: what links to it may itself not be translated."""
    english = site / page.relative_to(site / TRANSLATED) if page.is_relative_to(site / TRANSLATED) else page
    return pages[english].anchors if english in pages else set()
