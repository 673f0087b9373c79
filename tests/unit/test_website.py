"""The site is built of the pages that there are, and nothing that they link to is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from website.links import broken_links
from website.pages import BrokenLink, Pages

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_it_has_every_page_in_both_languages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "website", "--output", tmp_path / "site"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    site = tmp_path / "site"
    for page in (ROOT / "docs").rglob("*.md"):
        if not page.name.endswith(".zh-CN.md"):
            place = page.relative_to(ROOT / "docs").with_suffix(".html")
            place = place.with_name(place.name.replace("README", "index"))
            assert (site / place).is_file(), f"{page.name} is in no menu, and no page links to it"
            assert (site / "zh-CN" / place).is_file()
    assert "回调" in (site / "zh-CN/callbacks.html").read_text()
    index = json.loads((site / "search/search_index.json").read_text())
    assert {"callbacks.html", "zh-CN/callbacks.html", "protocol/index.html"} <= {
        one["location"] for one in index["docs"]
    }


def test_a_page_brings_what_it_links_to(tmp_path: Path) -> None:
    root, site = tmp_path / "repository", tmp_path / "site"
    for name, text in {
        "README.md": "[中文](README.zh-CN.md)\n\n[`a` page](docs/a.md#part) and ![it](docs/it.svg), not `[b](b.md)`\n",
        "README.zh-CN.md": "[页](docs/a.zh-CN.md)\n",
        "docs/a.md": "```\n[c](c.md)\n```\n[files](../files)\n",
        "docs/a.zh-CN.md": "",
        "docs/it.svg": "<svg/>",
        "files/one.json": "{}",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    Pages(root, site).copy("README.md")
    assert (site / "index.md").read_text() == "\n[`a` page](a.md#part) and ![it](it.svg), not `[b](b.md)`\n"
    assert (site / "index.zh-CN.md").read_text() == "[页](a.md)\n"
    assert (site / "a.md").read_text() == "```\n[c](c.md)\n```\n[files](files/index.md)\n"
    assert (site / "files/index.md").read_text() == "# files/\n\n- [one.json](one.json)\n"
    assert {file.name for file in site.rglob("*.*")} >= {"a.zh-CN.md", "it.svg", "one.json"}


def test_a_link_to_nothing_ends_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[a](a.md)")
    with pytest.raises(BrokenLink, match=r"README\.md links to a\.md, which is not there"):
        Pages(tmp_path, tmp_path / "site").copy("README.md")


def test_headings_that_are_not_there_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#one"></a><a href="b.html#two"></a><a href="c.html"></a>')
    (tmp_path / "b.html").write_text('<h1 id="one"></h1><a href="https://example.test/x#y"></a>')
    assert list(broken_links(tmp_path)) == ["a.html: b.html#two names no heading", "a.html: c.html is not there"]
