"""A configuration file as pods are to have it: its text, what it comes to, and where its variables come from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.config.yaml_tree import KeyPath, dotted, read_bounded, read_tree
from gridsidecar.errors import ConfigError, Fault
from gridsidecar.manifests.literal_secrets import literal_secrets, without_passwords
from gridsidecar.manifests.variables import SERVERS, Variable, texts_of, variables_in

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_IMAGE = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")


class Source(Struct, frozen=True, kw_only=True):
    """`secrets` are the variables whose values belong into a Secret, `plain` the others with the values that they have
    here. `optional` are those that the Secret need not have: with a default, or for handlers alone. `addresses` has by
    key the variables that are the whole URL of broker and store, `files` by variable the SQLite files that are there
    instead of these where nobody sets it."""

    path: str
    text: str
    settings: Settings
    secrets: tuple[str, ...]
    plain: Mapping[str, str]
    optional: tuple[str, ...]
    addresses: Mapping[str, str]
    files: Mapping[str, str]
    lines: Mapping[KeyPath, int]

    def fault(self, key: str, problem: str) -> Fault:
        """What is wrong with a key, and its place in the file."""
        at = tuple(key.split("."))
        places = [self.lines[at[:length]] for length in range(len(at), 0, -1) if at[:length] in self.lines]
        return Fault(key, problem, source=self.path, line=places[0] if places else None)


def read_source(path: str, environ: Mapping[str, str], *, shown: bool) -> Source:
    """Raises ConfigError, also for a secret in a file that a manifest is to show: then the Source is what is usable.
    Values of secrets are not looked up: others stand for them."""
    tree = read_tree(path)
    texts = list(texts_of(tree.values))
    secrets_shown = list(literal_secrets(path, tree, texts)) if shown else []
    variables = list(variables_in(texts))
    readable = {each.name for each in variables if not each.may_be_secret}
    plain = {each.name: environ[each.name] for each in variables if each.name in readable and each.name in environ}
    hidden = [each for each in variables if each.name not in readable]
    stand_ins = {each.name: each.stand_in for each in sorted(hidden, key=lambda each: each.whole)}
    servers = {key: SERVERS[key] for each in variables if (key := each.server) is not None}
    try:
        settings = load(path, overrides={**servers}, environ={**plain, **stand_ins}, dotenv=None)
    except ConfigError as error:
        raise ConfigError([*secrets_shown, *error.faults]) from None
    secrets = tuple(dict.fromkeys(each.name for each in hidden if not each.optional))
    source = Source(
        path=path,
        text=without_passwords(read_bounded(path).decode("utf-8-sig")),
        settings=settings,
        secrets=secrets,
        plain=plain,
        optional=_optional(hidden, settings, {*secrets, *readable}),
        addresses={dotted(each.at): each.name for each in variables if each.whole and dotted(each.at) in SERVERS},
        files={each.name: each.default or "" for each in variables if each.whole and _is_file(each)},
        lines=tree.lines,
    )
    if secrets_shown:
        raise ConfigError(secrets_shown, source)
    return source


def _is_file(server: Variable) -> bool:
    return server.server is not None and server.default is not None and server.default.startswith("sqlite:")


def _optional(hidden: Sequence[Variable], settings: Settings, others: set[str]) -> tuple[str, ...]:
    passed = [name for handler in settings.handlers.values() for name in handler.pass_env]
    names = dict.fromkeys([*(each.name for each in hidden), *passed])
    return tuple(name for name in names if name not in (*others, *_OF_THE_IMAGE) and _NAME.fullmatch(name))
