"""`--lang` of every command, and help and complaints of the command line in that language."""

from __future__ import annotations

import io
from typing import Annotated, Any, Literal

import typer

from gridsidecar.language import FLAG, said


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
        option.help = said(option.help)
        return option

    command.get_help_option = translated_help_option
    command.get_usage = lambda context: usage(context).replace("Usage:", said("Usage:"), 1)


def _paragraphs(text: str | None) -> str | None:
    return text and "\n\n".join(said(" ".join(paragraph.split())) for paragraph in text.split("\n\n"))


def translate_titles() -> None:
    from typer import rich_utils

    for name in (
        "DEFAULT_STRING",
        "REQUIRED_LONG_STRING",
        "ARGUMENTS_PANEL_TITLE",
        "OPTIONS_PANEL_TITLE",
        "COMMANDS_PANEL_TITLE",
    ):
        setattr(rich_utils, name, said(getattr(rich_utils, name)))
    highlight: Any = rich_utils.highlighter

    def folded(text: Any) -> Any:
        """A sentence without spaces is longer than a column, which would cut it off."""
        text = highlight(text)
        text.overflow = "fold"
        return text

    rich_utils.highlighter = folded  # type: ignore[assignment]


def complaint(error: Any) -> str:
    """What the reader of the command line has to say of it."""
    told = io.StringIO()
    error.show(file=told)
    return "\n".join(said(line) for line in told.getvalue().splitlines())
