"""The pages in English and in Chinese say the same; the READMEs name every command and every top-level key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsidecar import cli
from gridsidecar.config.settings import Settings
from tests.support.markdown import Section, sections, words

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
PAGES = {  # every one that has a Chinese one beside it
    page.removesuffix(".zh-CN.md") + ".md": page
    for folder in (".", "docs", "sdks/*", "examples/*")
    for page in sorted(os.path.normpath(file.relative_to(ROOT)) for file in ROOT.glob(f"{folder}/*.zh-CN.md"))
}
COMMANDS = ("docs/commands.md", "docs/commands.zh-CN.md")
CONFIGURATION = ("docs/settings.md", "docs/settings.zh-CN.md")
LONGEST = 200  # lines of a README: two screens and a map
OTHER = PAGES | {chinese: english for english, chinese in PAGES.items()}  # each leads to the other


def read(name: str) -> list[Section]:
    return sections((ROOT / name).read_text())


def title(value: object) -> str:
    return value.title if isinstance(value, Section) else ""


PAIRS = [  # as many sections as both have: the first test counts them
    (page, *pair) for page, chinese in PAGES.items() for pair in zip(read(page), read(chinese), strict=False)
]
section_by_section = pytest.mark.parametrize(("page", "english", "chinese"), PAIRS, ids=title)
each_page = pytest.mark.parametrize("name", list(OTHER))


# -- the two say the same ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", list(PAGES))
def test_the_same_headings_in_the_same_order(page: str) -> None:
    english, chinese = ([section.level for section in read(name)] for name in (page, PAGES[page]))
    assert english
    assert chinese == english


@section_by_section
def test_the_same_code_line_by_line(page: str, english: Section, chinese: Section) -> None:
    assert [block.language for block in chinese.blocks] == [block.language for block in english.blocks]
    for ours, theirs in zip(english.blocks, chinese.blocks, strict=True):
        assert [line.code for line in theirs.lines] == [line.code for line in ours.lines]
        for one, other in zip(ours.lines, theirs.lines, strict=True):
            assert (other.comment is None) == (one.comment is None), other
            assert words(other.comment or "") == words(one.comment or "")


@section_by_section
def test_the_same_tables_cell_by_cell(page: str, english: Section, chinese: Section) -> None:
    def shape(section: Section) -> list[list[list[set[str]]]]:
        return [[[words(cell) for cell in row] for row in table] for table in section.tables]

    assert shape(chinese) == shape(english)


@section_by_section
def test_the_same_words_in_backticks(page: str, english: Section, chinese: Section) -> None:
    assert chinese.words == english.words


@section_by_section
def test_the_same_links(page: str, english: Section, chinese: Section) -> None:
    assert sorted(targets(PAGES[page], chinese)) == sorted(targets(page, english))


def targets(name: str, section: Section) -> Iterator[str]:
    """Where the links lead; a heading of a page that is there in both languages becomes its number."""
    for link in section.links:
        if link == Path(OTHER[name]).name:
            yield "the other language"
            continue
        path, _, anchor = link.partition("#")
        page = os.path.normpath(Path(name).parent / path) if path else name
        if anchor and page in OTHER:
            anchors = [each.anchor for each in read(page)]
            assert anchor in anchors, f"{name}: no heading makes the anchor {link}"
            anchor = str(anchors.index(anchor))
        yield f"{own_language(path, (ROOT / name).parent) if name in PAGES else path}#{anchor}"


def own_language(path: str, folder: Path) -> str:
    """Where the Chinese page leads in place of this: to the Chinese page, if there is one."""
    chinese = path.removesuffix(".md") + ".zh-CN.md"
    return chinese if (folder / chinese).is_file() else path


@each_page
def test_a_link_to_a_file_leads_somewhere(name: str) -> None:
    found = [link for section in read(name) for link in section.links if not re.match(r"https?://|#", link)]
    assert Path(OTHER[name]).name in found
    folder = (ROOT / name).parent
    assert [link for link in found if not (folder / link.partition("#")[0]).exists()] == []


def test_the_chinese_is_chinese() -> None:
    assert [chinese.title for _, _, chinese in PAIRS if not re.search("[\u4e00-\u9fff]", chinese.text)] == []


# -- nothing is left out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_a_readme_is_two_screens_and_a_map(name: str) -> None:
    lines = (ROOT / name).read_text().count("\n")
    assert lines <= LONGEST
    pages = (
        {page for page in PAGES if page != ENGLISH}
        if name == ENGLISH
        else {page for page in PAGES.values() if page != CHINESE}
    )
    assert pages - {link for section in read(name) for link in section.links} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_table_and_every_entry_is_a_command(name: str) -> None:
    (table,) = (table for section in read(name) for table in section.tables)
    told = [command for row in table[1:] for command in named(row[0])]
    assert sorted(told) == sorted(commands())


def named(cell: str) -> tuple[str, ...]:
    """The commands of a cell: `tasks list`, `show ID` are `tasks list` and `tasks show`."""
    first, *more = re.findall(r"`([^`]+)`", cell)
    group, *rest = first.split()
    if group not in GROUPS:
        assert not more, cell
        return (group,)
    return tuple(f"{group} {word.split()[0]}" for word in (" ".join(rest), *more))


GROUPS = {name for name, source in cli.COMMANDS.items() if ":" not in source}


def commands() -> Iterator[str]:
    """What `gridsidecar --help` offers, groups with each of their commands."""
    for name, command in cli.command("en").commands.items():
        below = getattr(command, "commands", None)
        yield from [name] if below is None else (f"{name} {each}" for each in below)


@pytest.mark.parametrize("name", CONFIGURATION)
def test_every_top_level_key_is_named(name: str) -> None:
    told = {word for section in read(name) for word in section.words}
    assert {field.alias or key for key, field in Settings.model_fields.items()} - told == set()
