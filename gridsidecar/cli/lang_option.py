"""`--lang` of every command, and help and complaints of the command line in that language."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from gridsidecar.language import FLAG, translated


def prepare(command: Any, language: str) -> None:
    """With `--lang`, and in this language; so is each command below it."""
    command.params.append(_lang_option())
    if language != "en":
        _translate(command)
    for below in getattr(command, "commands", {}).values():
        prepare(below, language)


def _lang_option() -> Any:
    def taken(
        lang: Annotated[
            Literal["en", "zh"] | None,
            typer.Option(FLAG, help="Language of what is said here, not of the log; else the locale's."),
        ] = None,
    ) -> None:
        pass

    app = typer.Typer(add_completion=False)
    app.command()(taken)
    (option,) = typer.main.get_command(app).params
    option.expose_value = False
    return option


def _translate(command: Any) -> None:
    command.help, command.epilog = _paragraphs(command.help), _paragraphs(command.epilog)
    for option in command.params:
        option.help = _paragraphs(option.help)
    help_option, usage = command.get_help_option, command.get_usage

    def translated_help_option(context: Any) -> Any:
        option = help_option(context)
        option.help = translated(option.help)
        return option

    command.get_help_option = translated_help_option
    command.get_usage = lambda context: usage(context).replace("Usage:", translated("Usage:"), 1)


def _paragraphs(text: str | None) -> str | None:
    return text and "\n\n".join(translated(" ".join(paragraph.split())) for paragraph in text.split("\n\n"))


def translate_titles() -> None:
    from typer import rich_utils

    for name in (
        "DEFAULT_STRING",
        "REQUIRED_LONG_STRING",
        "ARGUMENTS_PANEL_TITLE",
        "OPTIONS_PANEL_TITLE",
        "COMMANDS_PANEL_TITLE",
    ):
        setattr(rich_utils, name, translated(getattr(rich_utils, name)))
    highlight: Any = rich_utils.highlighter

    def folded(text: Any) -> Any:
        """A sentence without spaces is longer than a column, which would cut it off."""
        text = highlight(text)
        text.overflow = "fold"
        return text

    rich_utils.highlighter = folded  # type: ignore[assignment]


# The library that reads the command line has values checked by another, and passes on what that says.
_IN_OUR_WORDS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r": Value error, ", lambda _: ": "),
    (r"Input should be a valid integer\b.*", lambda _: "must be a whole number"),
    (r"Input should be a valid number\b.*", lambda _: "must be a number"),
    (r"Input should be greater than or equal to (.*)", lambda found: f"must be at least {found[1]}"),
    (r"Input should be less than or equal to (.*)", lambda found: f"must be at most {found[1]}"),
)


def complaint(error: Any) -> str:
    """What the reader of the command line has to say of it."""
    told = io.StringIO()
    error.show(file=told)
    return "\n".join(translated(_in_our_words(line)) for line in told.getvalue().splitlines())


def _in_our_words(line: str) -> str:
    for theirs, ours in _IN_OUR_WORDS:
        line = re.sub(theirs, ours, line, count=1)
    return line
