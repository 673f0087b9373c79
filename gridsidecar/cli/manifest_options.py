"""What the options of `gridsidecar manifests` may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

LONGEST_NAME = 52  # of a CronJob; others may have more
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9](?:[\w./:@-]*\w)?", re.ASCII | re.IGNORECASE)
_FIELD = re.compile(r"[\w*/,?#-]+", re.ASCII)
_SCHEDULES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

_PODS = {"deployment", "job", "cronjob"}
_FOR = {  # options that not every kind has
    "--image": {*_PODS, "compose"},
    "--inject": _PODS,
    "--container": _PODS,
    "--image-pull-secret": _PODS,
    "--namespace": {*_PODS, "secret"},
    "--network-policy": _PODS,
    "--replicas": {"deployment"},
    "--max-replicas": {"deployment", "job"},
    "--pdb": {"deployment"},
    "--schedule": {"cronjob"},
}
_NEEDED = {"--image": "example.org/worker:1.0", "--schedule": '"*/15 * * * *"'}  # with an example
_WHY = {
    "--pdb": "a budget counts pods that are to stay; those of Jobs ask not to be evicted",
    "--schedule": "the others go by the work that there is",
}


def option_problems(kind: str, given: Mapping[str, object]) -> Iterator[str]:
    """Each option that means nothing for this kind, that is missing, or that is no use."""
    used = {
        option: value for option, value in given.items() if value is not None and value is not False and value != []
    }
    for option in used:
        if kind not in _FOR.get(option, {kind}):
            why = _WHY.get(option)
            yield f"{option} means nothing for {kind}: {why}" if why else f"{option} means nothing for {kind}"
    for option, example in _NEEDED.items():
        if option not in used and kind in _FOR[option]:
            yield f"{kind} needs {option}, such as {option} {example}"
    if {"--replicas", "--max-replicas"} <= used.keys():
        yield "--replicas is without KEDA, and --max-replicas for it: choose one of them"
    if {"--inject", "--container"} <= used.keys():
        yield "--inject puts the sidecar into the app's container, --container beside it: choose one of them"
    for option, value in used.items():
        for text in value if isinstance(value, list) else [value]:
            yield from _checked(option, str(text))


def _checked(option: str, text: str) -> Iterator[str]:
    match option:
        case "--name" | "--namespace":
            yield from _name(option, text)
        case "--secret" | "--image-pull-secret":
            yield from _name(option, text.replace(".", "-"))
        case "--image" | "--inject" | "--container":
            yield from _image(option, text)
        case "--schedule":
            yield from _schedule(text)


def _name(option: str, name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        yield (f"{option} must have 1 to {LONGEST_NAME} lower-case letters, digits and -, and begin and end with no -")


def _image(option: str, image: str) -> Iterator[str]:
    if not _IMAGE.fullmatch(image):
        yield f"{option} must name an image, such as example.org/worker:1.0"


def _schedule(schedule: str) -> Iterator[str]:
    if schedule in _SCHEDULES:
        return
    fields = schedule.split()
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        yield '--schedule must have five fields, as in "*/15 * * * *", or be one such as @hourly'
