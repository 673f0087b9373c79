"""Variables as configuration values: those that users of the earlier plugin have set, and what manifests set."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from msgspec import Struct, field

from gridsidecar.config.secret_files import read_secret, reference
from gridsidecar.config.secrets import HIDDEN
from gridsidecar.errors import Fault

_PREFIX = "GRID_ASYNC_TASK_"

FEISHU = "notify.feishu"  # no key of the file: it stands for a channel in the list `notify`

# Own names before the general ones; the first that is set wins.
VARIABLES: dict[str, tuple[str, ...]] = {
    "broker.url": (f"{_PREFIX}AMQP_URL",),
    "broker.queue": (f"{_PREFIX}QUEUE", "RABBITMQ_QUEUE"),
    "store.url": (f"{_PREFIX}MYSQL_URL",),
    "store.table_prefix": (f"{_PREFIX}TABLE_PREFIX",),
    "store.table_name": (f"{_PREFIX}TABLE_NAME",),
    "retry.max_retries": (f"{_PREFIX}MAX_RETRY_COUNT",),
    "retry.delay": (f"{_PREFIX}RETRY_DELAY",),
    "worker.idle_timeout": (f"{_PREFIX}IDLE_TIMEOUT",),
    "worker.heartbeat_file": (f"{_PREFIX}HEARTBEAT_FILE",),
    "progress_interval": (f"{_PREFIX}PROGRESS_INTERVAL",),
    "callbacks.timeout": (f"{_PREFIX}CALLBACK_TIMEOUT",),
    "callbacks.max_retries": (f"{_PREFIX}CALLBACK_RETRY_COUNT",),
    "log.level": (f"{_PREFIX}LOG_LEVEL", "LOG_LEVEL"),
    "log.dir": (f"{_PREFIX}LOG_DIR", "LOG_DIR"),
    FEISHU: (f"{_PREFIX}FEISHU_WEBHOOK_URL", "FEISHU_WEBHOOK_URL"),
}
# A URL in parts; the first names the host and must be set, or the others mean nothing.
COMPOSED_FROM: dict[str, tuple[str, ...]] = {
    "broker.url": tuple(f"RABBITMQ_{part}" for part in ("HOST", "PORT", "USERNAME", "PASSWORD", "VHOST")),
    "store.url": tuple(f"MYSQL_{part}" for part in ("HOST", "PORT", "DATABASE", "USERNAME", "PASSWORD")),
}
FILE = "_FILE"  # NAME_FILE names the file that holds what NAME would
IN_FILES = ("broker.url", "store.url", FEISHU)
SECRET_PARTS = {
    "broker.url": tuple(f"RABBITMQ_{part}" for part in ("USERNAME", "USER", "PASSWORD", "VHOST")),
    "store.url": tuple(f"MYSQL_{part}" for part in ("USERNAME", "USER", "PASSWORD", "DATABASE")),
}
# What the earlier plugin also read, and what to do about it.
WITHOUT_EFFECT = {
    f"{_PREFIX}TIMEOUT": "set handlers.NAME.timeout",
    f"{_PREFIX}PREFETCH_COUNT": "set worker.concurrency, the number of tasks that run at the same time",
    f"{_PREFIX}EXCHANGE": "tasks come from broker.queue; bind it to the exchange in RabbitMQ",
    f"{_PREFIX}ROUTING_KEY": "tasks come from broker.queue; bind it with the key in RabbitMQ",
    f"{_PREFIX}DB_POOL_SIZE": "set store.pool_size, if at all",
    f"{_PREFIX}DB_MAX_OVERFLOW": "set store.pool_size, if at all",
    f"{_PREFIX}DB_POOL_TIMEOUT": "there is nothing to set",
    f"{_PREFIX}DB_POOL_RECYCLE": "there is nothing to set",
    f"{_PREFIX}LOG_MAX_SIZE": "log files are rotated at 20 MiB",
    f"{_PREFIX}LOG_RETENTION": "five rotated log files are kept",
    f"{_PREFIX}HEALTH_CHECK_INTERVAL": "there is nothing to set",
}
PORTS = ("RABBITMQ_PORT", "MYSQL_PORT")
KUBERNETES = "tcp://"  # how it sets NAME_PORT for a service of that name
EMPTY_COUNTS = frozenset({f"{_PREFIX}TABLE_PREFIX"})  # an empty prefix is a choice; elsewhere empty means not set


class FromVariables(Struct, frozen=True):
    """`values` by dotted key, `names` the variable behind each."""

    values: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)  # of values of which files hold a part
    faults: list[Fault] = field(default_factory=list)


def read_variables(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> FromVariables:
    """What the variables say; those of the environment win over those of the `.env` file."""
    merged = {**dotenv, **{name: value for name, value in environ.items() if _means_something(name, value, dotenv)}}
    found = FromVariables()
    files = _Files(merged, found.faults)
    for source in (environ, dotenv):
        for key, names in VARIABLES.items():
            for name in names:
                if key in found.values:
                    break
                in_file = bool(key in IN_FILES and source.get(name + FILE))
                if source.get(name) or (name in EMPTY_COUNTS and name in source):
                    found.values[key], found.names[key] = source[name], name
                    if in_file:
                        found.faults.append(Fault(key, f"{name} and {name}{FILE} exclude each other", source=name))
                elif in_file:
                    found.values[key], found.recipes[key] = files.whole(key, name)
                    found.names[key] = name + FILE
        for key, compose in (("broker.url", _rabbitmq_url), ("store.url", _mysql_url)):
            host = COMPOSED_FROM[key][0]
            if key not in found.values and source.get(host):
                found.values[key] = compose(files.contents(key), found.faults)
                if recipe := files.recipe(key, compose):
                    found.recipes[key] = recipe
                found.names[key] = host
    return found


class _Files:
    """Variables that name a file, NAME_FILE, which holds what NAME would."""

    def __init__(self, variables: Mapping[str, str], faults: list[Fault]) -> None:
        self._variables = variables
        self._faults = faults

    def whole(self, key: str, name: str) -> tuple[str, str]:
        """The value of a key, and its recipe."""
        path = self._variables[name + FILE]
        return self._read(key, name), f"${{file:{path}}}"

    def contents(self, key: str) -> dict[str, str]:
        """All variables, those of a URL's parts out of their files."""
        return {**self._variables, **{name: self._read(key, name) for name in self._named(key)}}

    def recipe(self, key: str, compose: Callable[[Mapping[str, str], list[Fault]], str]) -> str | None:
        """The URL with references in place of what stands in files; None where nothing does."""
        marks = {name: f"in-file-{number}-of-this" for number, name in enumerate(self._named(key))}
        text = compose({**self._variables, **marks}, []).replace("$", "$$")
        for name, mark in marks.items():
            text = text.replace(mark, f"${{file:{self._variables[name + FILE]}}}")
        return text if marks else None

    def _named(self, key: str) -> list[str]:
        return [name for name in SECRET_PARTS[key] if self._variables.get(name + FILE)]

    def _read(self, key: str, name: str) -> str:
        path = self._variables[name + FILE]
        try:
            if self._variables.get(name) and name in SECRET_PARTS.get(key, ()):
                raise ValueError(f"{name} and {name}{FILE} exclude each other")
            reference(path)
            return read_secret(path)
        except ValueError as error:
            self._faults.append(Fault(key=key, problem=str(error), source=name + FILE))
            return ""


def _means_something(name: str, value: str, dotenv: Mapping[str, str]) -> bool:
    """An empty variable hides nothing that `.env` says, and neither does a port as Kubernetes sets it."""
    return name not in dotenv or (bool(value) and not (name in PORTS and value.startswith(KUBERNETES)))


def without_effect(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The variables that do nothing, each with what to do instead: those of features gone by, and misspelt ones."""
    known = {name for names in VARIABLES.values() for name in names}
    known |= {name + FILE for key in IN_FILES for name in VARIABLES[key]}
    for name in variables:
        if name in WITHOUT_EFFECT:
            yield name, WITHOUT_EFFECT[name]
        elif name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            yield name, f"it is not known; did you mean {near[0]}?" if near else "it is not known"


def variables_for(key: str) -> tuple[str, ...]:
    """Names of the variables that can set a key."""
    return VARIABLES.get(key, ()) + COMPOSED_FROM.get(key, ())[:1]


def _rabbitmq_url(variables: Mapping[str, str], faults: list[Fault]) -> str:
    vhost = variables.get("RABBITMQ_VHOST") or "/"
    return _joined_url(
        "amqp",
        variables["RABBITMQ_HOST"],
        _port(variables, "RABBITMQ_PORT", 5672, "broker.url", faults),
        variables.get("RABBITMQ_USERNAME") or variables.get("RABBITMQ_USER") or "guest",
        variables.get("RABBITMQ_PASSWORD") or "guest",
        "" if vhost == "/" else vhost,
    )


def _mysql_url(variables: Mapping[str, str], faults: list[Fault]) -> str:
    database = variables.get("MYSQL_DATABASE") or ""
    password = variables.get("MYSQL_PASSWORD")
    if not database:
        problem = "MYSQL_HOST is set, so this must name the database"
        faults.append(Fault(key="store.url", problem=problem, source="MYSQL_DATABASE"))
    return _joined_url(
        "mysql",
        variables["MYSQL_HOST"],
        _port(variables, "MYSQL_PORT", 3306, "store.url", faults),
        variables.get("MYSQL_USERNAME") or variables.get("MYSQL_USER") or ("root" if password else None),
        password,
        database,
    )


def _port(variables: Mapping[str, str], name: str, default: int, key: str, faults: list[Fault]) -> int:
    """Kubernetes sets NAME_PORT to `tcp://address:port` for a service of that name; that one is not meant."""
    text = variables.get(name) or ""
    if not text or text.startswith(KUBERNETES):
        return default
    if text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 65535:
        return int(text)
    faults.append(Fault(key=key, problem="must be a port number from 1 to 65535", value=_shown(text), source=name))
    return default


def _shown(text: str) -> str:
    """What was meant for another variable may be a password."""
    return f'"{text}"' if len(text) <= 6 and text.isascii() and text.isdigit() else HIDDEN


def _joined_url(scheme: str, host: str, port: int, username: str | None, password: str | None, path: str) -> str:
    login = ""
    if username:
        login = quote(username, safe="") + (f":{quote(password, safe='')}" if password else "") + "@"
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{login}{bracketed}:{port}/{quote(path, safe='')}"
