"""In which language people are spoken to. The code says everything in English; the catalogue knows it in Chinese.

Nobody translates where a sentence is made. It is told in another language where it reaches people: a line of the log,
a line of a command. Whoever makes a line of what others said marks that (`quoting.theirs`); of the error of a task
`failures` knows whose words it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gridsidecar.language.quoting import around_quotes, unmarked

LANGUAGES = ("en", "zh")
FLAG = "--lang"

Translate = Callable[[str], str]


as_it_is: Translate = unmarked
_translate = as_it_is
spoken = "en"  # by the command that runs


def translator(language: str) -> Translate:
    """From English into `language`; what the catalogue does not know stays as it is."""
    if language != "zh":
        return as_it_is
    from gridsidecar.language.chinese import CHINESE  # only whoever reads it pays for it
    from gridsidecar.language.sentence_translator import SentenceTranslator

    return around_quotes(SentenceTranslator(CHINESE).translated)


def speak(language: str) -> None:
    """What `translated` answers in, from now on in this process."""
    global _translate, spoken
    _translate, spoken = translator(language), language


def translated(text: str) -> str:
    """What a command says, in the language that its user reads."""
    return _translate(text)


def counted(number: int, noun: str = "task", plural: str = "") -> str:
    """1 task, 2,000 tasks. `plural`: where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def asked_for(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """By `--lang`, else by the locale. Looked up before the command line is read: what is wrong with that is said in
    this language, too."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for word, following in zip(ours, [*ours[1:], ""], strict=False):
        given = following if word == FLAG else word.removeprefix(f"{FLAG}=")
        if word.startswith(FLAG) and given in LANGUAGES:
            return given
    return _of_locale(environ)


def without_flag(arguments: Sequence[str]) -> list[str]:
    """For a command that reads its own arguments."""
    rest = [word for word in arguments if not word.startswith(f"{FLAG}=")]
    if FLAG in rest:
        at = rest.index(FLAG)
        del rest[at : at + 2]
    return rest


def _of_locale(environ: Mapping[str, str]) -> str:
    """The first of these variables that is set decides, as everywhere."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale := environ.get(name):
            return "zh" if locale.lower().startswith("zh") else "en"
    return "en"
