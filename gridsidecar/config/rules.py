"""What pydantic cannot see in one key alone: URLs, and keys that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from gridsidecar.config.handler_rules import SettingProblem, handler_problems
from gridsidecar.config.http import http_problems
from gridsidecar.config.mysql_url import SCHEMES as MYSQL_SCHEMES
from gridsidecar.config.mysql_url import parse_mysql_url
from gridsidecar.config.notice_templates import notice_template_problems
from gridsidecar.config.notices import NoticeSettings
from gridsidecar.config.processes import staying
from gridsidecar.config.schema_text import allowed, one_of
from gridsidecar.config.settings import Settings, retry_policy
from gridsidecar.config.signing_keys import signing_keys
from gridsidecar.config.tls import broker_tls
from gridsidecar.config.urls import sqlite_path
from gridsidecar.config.values import LONGEST_DELAY, SHORTEST_RETENTION
from gridsidecar.config.yaml_tree import KeyPath

BROKER_SCHEMES = ("amqp", "amqps", "sqlite")
CLUSTER_SCHEMES = ("amqp", "amqps")
STORE_SCHEMES = (*MYSQL_SCHEMES, "sqlite")
LONGEST_QUEUE_NAME = 255  # bytes
LONGEST_ENDING = f".delay.{LONGEST_DELAY}"
LONGEST_LEASE = 86400.0  # seconds
NOTHING_IN_IT = "is empty: set the variable behind it, or leave the key out where there is to be no secret"
NO_HOST = "must be a host, *.domain or a network such as 10.0.0.0/8, without a scheme or a port"
LONGEST_TIME = 10 * 365 * 86400.0  # seconds


def contradictions(settings: Settings) -> Iterator[SettingProblem]:
    """Every key that cannot work, and why."""
    yield from _urls(settings)
    yield from _broker(settings)
    yield from _queues(settings)
    yield from _times(settings)
    yield from _retry(settings)
    yield from _processes(settings)
    for name, handler in settings.handlers.items():
        yield from handler_problems(("handlers", name), handler)
    yield from _callbacks(settings)
    yield from http_problems(settings.http)
    for index, channel in enumerate(settings.notify):
        yield from _notice(("notify", index), channel)


def _urls(settings: Settings) -> Iterator[SettingProblem]:
    broker, store = settings.broker.url, settings.store.url
    ours: list[tuple[KeyPath, str | None]] = [(("store", "url"), url_problem(store, STORE_SCHEMES))]
    if isinstance(broker, str):
        ours.append((("broker", "url"), url_problem(broker, BROKER_SCHEMES)))
    else:
        ours.extend(_cluster(broker))
    for path, problem in ours:
        if problem is not None:
            yield path, problem
    address = settings.broker.management_url
    if address is not None and (problem := _web_problem(address, ("http", "https"))) is not None:
        yield ("broker", "management_url"), problem


def url_problem(url: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with a broker's or a store's URL; None when it can be used."""
    scheme = url.partition(":")[0].lower()
    if scheme not in schemes or "://" not in url:
        if "sqlite" not in schemes:
            return f"must be a URL that starts with {one_of([f'{name}://' for name in schemes])}, as all of a list"
        return f"must be a URL that starts with {', '.join(f'{name}://' for name in schemes[:-1])} or {schemes[-1]}:///"
    if scheme == "sqlite":
        return _read_by(sqlite_path, url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return (
            "the host or the port cannot be read: a port is 1 – 65535; special characters in a password are %-encoded"
        )
    if not host or port == 0:
        return f"must name a host, as in {_AMQP_SHAPE if 'amqp' in schemes else _MYSQL_SHAPE}"
    if "@" in parts.path + parts.query + parts.fragment:
        return "what stands before the last @ cannot be read: / ? # @ in a password are %-encoded (%2F %3F %23 %40)"
    if "mysql" in schemes and not parts.path.strip("/"):
        return f"must name a database, as in {_MYSQL_SHAPE}"
    return _read_by(parse_mysql_url if "mysql" in schemes else _broker_certificates, url)


def _broker_certificates(url: str) -> None:
    tls = broker_tls(url)
    if tls is not None:
        tls.context()


def _cluster(urls: list[str]) -> Iterator[tuple[KeyPath, str | None]]:
    """Of several URLs each leads to RabbitMQ, all to the same queues, none twice."""
    for index, url in enumerate(urls):
        problem = url_problem(url, CLUSTER_SCHEMES)
        if problem is None and url in urls[:index]:
            problem = "is in the list already"
        if problem is None and _virtual_host(url) != _virtual_host(urls[0]):
            problem = "must name the same virtual host as the first: the list is for the nodes of one cluster"
        yield ("broker", "url", index), problem


def _virtual_host(url: str) -> str:
    return unquote(urlsplit(url).path[1:]) or "/"


_AMQP_SHAPE = "amqp://user:password@host:5672/"
_MYSQL_SHAPE = "mysql://user:password@host:3306/database"


def _read_by(reader: Callable[[str], object], url: str) -> str | None:
    """What the part that is to use it says of a URL."""
    try:
        reader(url)
    except ValueError as error:
        return str(error)
    return None


def _broker(settings: Settings) -> Iterator[SettingProblem]:
    broker = settings.broker
    if broker.queue_type == "quorum" and broker.max_priority:
        yield (
            ("broker", "max_priority"),
            "quorum queues ignore a highest priority: set it to 0, or broker.queue_type to classic",
        )


def _queues(settings: Settings) -> Iterator[SettingProblem]:
    """Each queue has one purpose, and a name that a broker takes."""
    broker, callbacks = settings.broker, settings.callbacks
    if broker.dead_letter_queue == broker.queue:
        yield ("broker", "dead_letter_queue"), "must not be the work queue itself: a message would come back for ever"
    if callbacks.queue == broker.queue:
        yield ("callbacks", "queue"), "must not be the work queue itself: a callback is no task"
    if callbacks.queue in (broker.dead_letters, f"{broker.queue}.dead"):
        yield ("callbacks", "queue"), "must not be the queue of the dead letters: a callback is no refused message"
    if callbacks.queue.startswith("amq."):
        yield ("callbacks", "queue"), "must not start with amq.: such names are RabbitMQ's own"
    for path, name in (
        (("broker", "dead_letter_queue"), broker.dead_letters),
        (("callbacks", "queue"), callbacks.queue),
    ):
        if re.fullmatch(re.escape(broker.queue) + r"\.delay\.\d+", name):
            yield path, "must not be a delay queue of the work queue: what is put there comes back as a task"
    for path, name, ending in (
        (("broker", "queue"), broker.queue, LONGEST_ENDING),
        (("broker", "dead_letter_queue"), broker.dead_letter_queue or "", ""),
        (("callbacks", "queue"), callbacks.queue, ""),
    ):
        spare = LONGEST_QUEUE_NAME - len((name + ending).encode("utf-8", "surrogatepass"))
        if spare < 0:
            reason = f" with {ending}, the name of a delay queue," if ending else ""
            yield path, f"is {-spare} bytes too long:{reason} a queue's name has at most {LONGEST_QUEUE_NAME} of UTF-8"


def _times(settings: Settings) -> Iterator[SettingProblem]:
    if 0 < settings.store.retention_days < SHORTEST_RETENTION:
        yield (
            ("store", "retention_days"),
            f"must be {allowed(('store', 'retention_days'))}: a message may be delayed by "
            f"{LONGEST_DELAY // 3600} hours, and would run again what it does not find",
        )
    if settings.worker.lease > LONGEST_LEASE:
        yield (
            ("worker", "lease"),
            f"must not be more than {LONGEST_LEASE:g}, a day: nobody would take over a dead worker's tasks before",
        )
    for path, seconds in _seconds(settings, ()):
        if seconds > LONGEST_TIME:
            yield path, f"must not be more than {LONGEST_TIME:.0f}, ten years: clocks and calendars end there"


def _seconds(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, float]]:
    """Every number that is a time; those that count something are whole."""
    match value:
        case BaseModel():
            for name, field in type(value).model_fields.items():
                yield from _seconds(getattr(value, name), (*at, field.alias or name))
        case dict() | list():
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from _seconds(item, (*at, key))
        case float():
            yield at, value


def _processes(settings: Settings) -> Iterator[SettingProblem]:
    worker, at = settings.worker, ("worker", "processes")
    if worker.processes == "auto":
        return
    if worker.processes > worker.concurrency:
        problem = f"must not be more than worker.concurrency ({worker.concurrency}): each needs a task to run"
        yield at, f"{problem}; raise that or lower this"
        return
    for name, most in staying(settings).items():
        if most < worker.processes:
            yield (
                at,
                f"must not be more than the processes that handlers.{name} may keep ({most}): each of ours keeps some "
                "of them; raise its persistent.processes or concurrency, or lower this",
            )
            return


def _retry(settings: Settings) -> Iterator[SettingProblem]:
    general = settings.retry
    wrong = general.strategy == "exponential" and general.max_delay < general.delay
    if wrong:
        yield ("retry", "max_delay"), f"must not be less than retry.delay ({general.delay:g} s)"
    for name, handler in settings.handlers.items():
        policy = retry_policy(general, handler)
        if not wrong and policy.strategy == "exponential" and policy.max_delay < policy.delay:
            key = "delay" if handler.retry.max_delay is None and handler.retry.delay is not None else "max_delay"
            problem = f"max_delay ({policy.max_delay:g} s) must not be less than delay ({policy.delay:g} s)"
            yield ("handlers", name, "retry", key), problem


def _callbacks(settings: Settings) -> Iterator[SettingProblem]:
    for index, entry in enumerate(settings.callbacks.allow):
        problem = allow_problem(entry)
        if problem is not None:
            yield ("callbacks", "allow", index), problem
    for index, pattern in enumerate(settings.callbacks.queues):
        if re.search(r"\[(?!.\]|[^\]]+\])", pattern):  # a bracket that no other closes would stand for itself
            problem = "must be a queue's name, with * for any text, ? for any character, [ab] for one of these"
            yield ("callbacks", "queues", index), problem
    if (problem := _secret_problem(settings.callbacks.signing_secret)) is not None:
        yield ("callbacks", "signing_secret"), problem


def allow_problem(entry: str) -> str | None:
    """What is wrong with an entry of `callbacks.allow`; None when it names a host, *.domain or a network."""
    if "/" in entry:
        try:
            ip_network(entry, strict=True)
        except ValueError:
            return NO_HOST
        return None
    return None if _HOST.fullmatch(entry.removeprefix("*.")) else NO_HOST


def _secret_problem(secret: str | None) -> str | None:
    """Standard Webhooks writes a key as whsec_ and base64; any other text is a key as it is."""
    if secret is not None and not secret.strip():
        return NOTHING_IN_IT
    try:
        signing_keys(secret or "")
    except ValueError as error:
        return str(error)
    return None


_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")

_NEEDED = {"feishu": ("url",), "webhook": ("url",), "email": ("smtp_url", "from", "to")}
_SCHEMES = {"url": ("http", "https"), "smtp_url": ("smtp", "smtps")}


def _notice(at: KeyPath, channel: NoticeSettings) -> Iterator[SettingProblem]:
    given = channel.model_dump(by_alias=True)
    for key in _NEEDED[channel.type]:
        if not given[key]:
            yield (*at, key), f"is required for type {channel.type}"
    for key in ("url", "smtp_url", "from", "to", "secret", "allow_to"):
        may = "allow_to" if channel.type == "email" else "secret"
        unused = key not in (*_NEEDED[channel.type], may)
        if given[key] and unused:
            yield (*at, key), f"means nothing for type {channel.type}: leave it out"
    if channel.secret is not None and not channel.secret.strip():
        yield (*at, "secret"), NOTHING_IN_IT
    elif channel.type == "webhook" and (secret_problem := _secret_problem(channel.secret)) is not None:
        yield (*at, "secret"), secret_problem
    yield from notice_template_problems(at, channel)
    for key, schemes in _SCHEMES.items():
        if given[key] and (problem := _web_problem(given[key], schemes)) is not None:
            yield (*at, key), problem


def _web_problem(url: str, schemes: tuple[str, ...]) -> str | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else f"must be a URL that starts with {schemes[0]}:// or {schemes[1]}:// and names a host"
