"""Everything that is said to people is in the catalogue, and nothing else; a finished sentence is found in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import gridsidecar
from gridsidecar import language
from gridsidecar.config.reference_page import model_of
from gridsidecar.config.settings import Settings
from gridsidecar.language import chinese
from gridsidecar.language.chinese import CHINESE
from gridsidecar.language.sentence_translator import SentenceTranslator
from gridsidecar.manifests.comments import pieces as comments_of
from tests.support.literals import Literal, literals, paragraphs, template

PACKAGE = Path(gridsidecar.__file__).parent
SENTENCE = re.compile(r"[A-Za-z][A-Za-z'-]*(?:,? [a-z][a-z'-]*){2,}")  # three English words in a row
HINTS = ("hint", "why", "reason", "advice")  # what is given under these names is said to people, however short
SAY = ("fail", "warn", "failed", "warning", "unknown", "inconclusive", "blocked")  # and all that these are given
WORD = re.compile(r"(?<![\w.\-/_{<$=\[:])[A-Za-z]?[a-z']{2,}(?![\w/_.=(:\]-])")
PLACE = re.compile(r"\{[a-z_]*\}")
NAMED = re.compile(r"\{(\d?)[a-z_]*\}")
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'|gridsidecar( [a-z-]+)*")
SQL = re.compile(r"^(select|insert|update|delete|create|SELECT|INSERT|UPDATE|DELETE|CREATE|SHOW|SET) ")

NOT_SAID = {  # where English stays, and why
    "language/": "the catalogue itself",
    **dict.fromkeys(
        ("http/bulk.py", "http/call.py", "http/cursor.py", "http/description.py", "http/files.py", "http/letters.py"),
        "answers to requests that no command sends",
    ),
    "http/problems.py": "titles, for programs",
    "http/tasks.py": "the same as call.py",
    "metrics/families.py": "what Prometheus shows",
    "notify/translations.py": "has its own Chinese, in the language of the log",
    "config/settings.py": "descriptions of keys, of which `described` knows",
    "config/handlers.py": "the same",
    "failpoints.py": "for tests",
    "demo/handlers/": "programs of their own",
    "conformance/lines.py:": "only the pattern of what wire.event_line says",
}
DESCRIBED = (
    "config/hooks.py",
    "config/http.py",
    "config/notices.py",
    "config/traces.py",
)  # descriptions of keys, as in settings
OTHERS = {  # patterns of what others say, and lists of their words
    "Lost connection to MySQL server during query",
    "Lost connection to MySQL server during query ({})",
    "no such table",
    "no such column",
    "unable to open",
    "char varchar tinytext text mediumtext longtext enum set json",
    "tinyint smallint mediumint int bigint float double",
    "binary varbinary tinyblob blob mediumblob longblob",
    "task echoed|it names another (task|attempt)|unknown type",
    "gridsidecar submit tasks.jsonl",
    r"Input should be a valid integer\b.*",
    r"Input should be a valid number\b.*",
    "Input should be greater than or equal to (.*)",
    "Input should be less than or equal to (.*)",
    "queue limit in vhost",
    "queue limit in cluster",
    "number of channels",
    "access to vhost .* refused",
    "Login was refused|user '.*' can only connect",
    "in exclusive use",
    "exclusive access to locked queue",
}
PIECES = {  # short ones that stand in sentences of `composed`, and what is for programs
    *("{} in {}", "{} {} in {} on {}", "in {} attempts", "in {}", "of {}, {}", "{} ids", "failed: {}", "success: {}"),
    *("{} or {}", "from {} to {}", "above {}", "of {} characters", "at least {}", "at most {}", "that matches {}"),
    *(
        "at {}character {}",
        "stopped; {} {}",
        "{}: remove {} for good?",
        "{} of {}",
        "or ssl_key={}",
        "{}, not {}",
        "with {}",
    ),
    *("{} {}, not {}", "pool_size {} × processes {}", "+ {} of the API", ": set {}"),
    *("dead drop {}", "rabbitmqctl set_policy tasks '^{}$' '{}' --apply-to queues"),  # to be typed
    *("bold {}", "tag:yaml.org,2002:{}", "http://localhost{}", "sqlite:///{}"),
    *("Bearer {}", "Basic {}", "HTTP {}, code {}", "process {}", "handler {}: {}"),
    *("reconnects to {}", "another {}", "notify[{}]", "[ignored: {}]", "{} after {}"),
    *("gridsidecar status -c {} payment", "SELECT COUNT(*) FROM {} WHERE queue = '{}'", r"{}\.url(?:\[(\d+)\])?"),
}


def test_every_sentence_has_its_chinese() -> None:
    missing = [f"{one.place}: {one.text}" for one in said() if one.text not in CHINESE]
    assert missing == [], "add a line to a file of gridsidecar/language/chinese"


def test_no_words_are_left_around_values() -> None:
    """However few they are: `the API at {}: {}` has no three in a row."""
    translated = SentenceTranslator(CHINESE).translated
    left = {}
    for one in literals(PACKAGE):
        if "{}" in one.text and not (one.text in CHINESE or one.text in PIECES | OTHERS or exempt(one)):
            left[one.place] = QUOTED.sub("", translated(one.text.replace("{}", "X1")))
    elsewhere = ("store/", "manifests/")  # SQL and YAML
    found = {place: told for place, told in left.items() if WORD.search(told) and not place.startswith(elsewhere)}
    assert found == {}


def test_every_help_has_its_chinese() -> None:
    assert [text for text in helps() if text not in CHINESE and not text.startswith(("gridsidecar ", "ls "))] == []


def test_every_entry_is_said() -> None:
    texts = {
        one.text for one in (*literals(PACKAGE), *comments(), *described()) if not one.place.startswith("language/")
    } | set(helps())
    library = {re.sub(r"\{[^}]*\}", "{}", one.text) for one in literals(Path(typer.__file__).parent)}
    for area in chinese.AREAS:
        if area is chinese.composed:
            continue
        known = library if area is chinese.library else texts
        assert [text for text in area.CHINESE if text not in known] == [], f"nobody says this any more: {area.__name__}"


def test_no_entry_stands_twice() -> None:
    assert [
        text for text, count in Counter(each for one in chinese.AREAS for each in one.CHINESE).items() if count > 1
    ] == []


@pytest.mark.parametrize("area", chinese.AREAS, ids=lambda area: area.__name__.rpartition(".")[2])
def test_the_places_of_an_entry_are_those_of_its_chinese(area: Any) -> None:
    for english, words in area.CHINESE.items():
        places = PLACE.findall(english)
        numbers = NAMED.findall(words)
        if any(numbers):
            assert sorted(numbers) == [str(number) for number in range(len(places))], english
        else:
            assert len(numbers) == len(places), english
        assert not SENTENCE.search(re.sub(r"`[^`]*`|[A-Z]+ .*", "", words)), words


@pytest.mark.parametrize(
    ("arguments", "environ", "chosen"),
    [
        ([], {}, "en"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ([], {"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_MESSAGES": ""}, "zh"),
        (["stats", "--lang", "zh"], {}, "zh"),
        (["--lang=en", "stats"], {"LANG": "zh_CN.UTF-8"}, "en"),
        (["exec", "--", "x", "--lang", "zh"], {}, "en"),  # the handler's own
        (["stats", "--lang", "fr"], {"LANG": "zh"}, "zh"),
        (["stats", "--lang"], {}, "en"),
    ],
)
def test_which_language(arguments: list[str], environ: dict[str, str], chosen: str) -> None:
    assert language.asked_for(arguments, environ) == chosen


@pytest.mark.parametrize(("lang", "loaded"), [("en", False), ("zh", True)])
def test_whoever_speaks_english_does_not_load_the_catalogue(lang: str, loaded: bool) -> None:
    code = (
        "import sys; sys.argv[1:] = ['stats', '--help', '--lang', sys.argv[1]]\n"
        "import atexit; atexit.register(lambda: print('gridsidecar.language.chinese' in sys.modules))\n"
        "from gridsidecar.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, lang],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.splitlines()[-1] == str(loaded)


# -- what is said ------------------------------------------------------------------------------------------------------


def said() -> Iterator[Literal]:
    for one in literals(PACKAGE):
        if SENTENCE.search(one.text) and not SQL.match(one.text) and one.text not in OTHERS and not exempt(one):
            yield one
    yield from (*comments(), *described())
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith(tuple(NOT_SAID)):
            yield from hints(ast.parse(file.read_text()), name)


def comments() -> Iterator[Literal]:
    """Those of the templates of manifests."""
    for file in (PACKAGE / "manifests/templates").iterdir():
        for _, sentences in comments_of(file.read_text().splitlines()):
            for sentence in filter(re.compile(r"(?<!\{)\b[A-Za-z]+\b(?!\}\})").search, sentences):
                yield Literal(re.sub(r"\{\{\w+\}\}", "{}", sentence), file.name)


def described(model: type[BaseModel] = Settings) -> Iterator[Literal]:
    """What `config reference` says of each key and section."""
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        told = (field.description, None if inner is None else (inner.__doc__ or "").split("\n")[0])
        yield from (Literal(text, f"{model.__name__}.{name}") for text in told if text)
        if inner is not None:
            yield from described(inner)


def exempt(one: Literal) -> bool:
    if one.text.startswith("gridsidecar manifests "):  # an example of the help
        return True
    described = one.place.startswith(DESCRIBED) and not one.text.startswith(("must ", "is required", "an IPv6"))
    return described or one.place.startswith(tuple(NOT_SAID))


def hints(tree: ast.Module, name: str) -> Iterator[Literal]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "part" for to in node.targets):
            given = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
        elif isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [keyword.value for keyword in node.keywords if keyword.arg in HINTS]
            given += node.args if function in SAY else []
        else:
            continue
        for value in given:
            text = template(value)
            if text is not None and text not in PIECES and re.search(r"[a-z]{2,}`? [`(a-z{]+", text):
                yield Literal(text.strip(), f"{name}:{value.lineno}")


def helps() -> list[str]:
    from gridsidecar import cli

    texts: list[str] = []

    def walk(command: Any) -> None:
        for text in (command.help, command.epilog, *(each.help for each in command.params)):
            texts.extend(paragraphs(text or ""))
        for below in getattr(command, "commands", {}).values():
            walk(below)

    walk(cli.command("en"))
    return [text for text in texts if " " in text]


def test_one_is_no_several() -> None:
    assert [language.counted(number) for number in (0, 1, 2000)] == ["0 tasks", "1 task", "2,000 tasks"]
    assert [language.counted(number, "try", "tries") for number in (1, 2)] == ["1 try", "2 tries"]
