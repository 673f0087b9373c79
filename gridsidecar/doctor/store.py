"""The database: who answers, what we may do there, and whether its limits fit ours."""

from __future__ import annotations

import re
from collections.abc import Callable

from gridsidecar.clock import Clock
from gridsidecar.config.http import POOL
from gridsidecar.config.mysql_url import parse_mysql_url
from gridsidecar.config.processes import processes_of
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Asked, CannotTell, Diagnostic, Finding, fail, ok, unknown, warn
from gridsidecar.errors import AccessRefused, GridSidecarError
from gridsidecar.language import counted
from gridsidecar.store.inspection import DatabaseFacts, FileFacts, ServerFacts, inspect, names_of
from gridsidecar.store.privileges import missing
from gridsidecar.store.queries import SCHEMA_VERSION

OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}
ADVICE = "start it, or correct store.url"
LARGEST_SKEW = 2.0  # seconds
MANY_ROWS = 1_000_000
COPIES = 2.2  # a message stands in its row twice: as data and as it came, both quoted


class StoreArea:
    """Checks of `store`: one session tells all there is to know, the rest is comparing."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        if not settings.store.url.startswith("sqlite:"):
            import gridsidecar.store.mysql.inspection  # noqa: F401  # to load it is no part of any check
        self.facts: Asked[DatabaseFacts] = Asked("store.connect", lambda: inspect(settings.store, clock))

    def checks(self) -> list[Diagnostic]:
        checks = [
            Diagnostic("store.connect", self._connect, vital=True),
            Diagnostic("store.tables", self._tables),
            Diagnostic("store.retention", self._retention),
        ]
        if self._settings.store.url.startswith("sqlite:"):
            return checks
        judges: dict[str, Callable[[ServerFacts, Settings], Finding]] = {
            "store.version": version,
            "store.privileges": privileges,
            "store.time_zone": time_zone,
            "store.clock": clock_skew,
            "store.tls": tls,
            "store.read_only": read_only,
            "store.max_allowed_packet": largest_packet,
            "store.max_connections": connections,
        }
        return checks + [self._judged(name, judge) for name, judge in judges.items()]

    async def close(self) -> None:
        await self.facts.forget()

    def _judged(self, name: str, judge: Callable[[ServerFacts, Settings], Finding]) -> Diagnostic:
        async def examine() -> Finding:
            return judge(await server_facts(self.facts), self._settings)

        return Diagnostic(name, examine)

    async def _connect(self) -> Finding:
        try:
            facts = await self.facts.answer()
        except GridSidecarError as error:
            refused = isinstance(error, AccessRefused)
            return fail(error.found, error.advice or ("correct store.url" if refused else ADVICE))
        match facts:
            case FileFacts(exists=False):
                return ok(f"{facts.path} is not there yet: the first worker makes it")
            case FileFacts():
                return ok(f"the file {facts.path}")
        return ok(f"{facts.version} at {facts.place}")

    async def _tables(self) -> Finding:
        return tables(await self.facts.known(), self._settings)

    async def _retention(self) -> Finding:
        rows, days = (await self.facts.known()).rows, self._settings.store.retention_days
        if rows > MANY_ROWS and not days:
            return warn(f"about {counted(rows)}, and none is ever deleted", "set store.retention_days")
        kept = f"ended ones are deleted after {days:g} days" if days else "all are kept"
        return ok(f"about {counted(rows)}, {kept}")


async def server_facts(asked: Asked[DatabaseFacts]) -> ServerFacts:
    """Raises CannotTell."""
    facts = await asked.known()
    if isinstance(facts, FileFacts):
        raise CannotTell("an SQLite file has no such thing")
    return facts


def tables(facts: DatabaseFacts, settings: Settings) -> Finding:
    migrates = settings.store.migrate
    if facts.tables is None or facts.tables < SCHEMA_VERSION:
        have = "there are none" if facts.tables is None else f"they are at version {facts.tables} of {SCHEMA_VERSION}"
        if migrates and isinstance(facts, FileFacts) and facts.tables is None:
            return ok("there are none yet: the first worker makes them")
        if migrates:
            return warn(have, "the next worker makes them, or `gridsidecar migrate`; KEDA's trigger needs them")
        return fail(f"{have}, and store.migrate is false", "run `gridsidecar migrate`")
    if facts.tables > SCHEMA_VERSION:
        return warn(f"they are at version {facts.tables}, this program knows {SCHEMA_VERSION}", "update this program")
    return ok(f"version {facts.tables}")


def version(facts: ServerFacts, _: Settings) -> Finding:
    product = "MariaDB" if "mariadb" in facts.version.lower() else "MySQL"
    numbers = tuple(int(part) for part in re.findall(r"\d+", facts.version.removeprefix("5.5.5-"))[:2])
    if numbers < OLDEST[product]:
        oldest = ".".join(map(str, OLDEST[product]))
        return fail(f"{product} {facts.version} lacks what this program needs", f"update to {oldest} or newer")
    return ok(f"{product} {facts.version}")


def privileges(facts: ServerFacts, settings: Settings) -> Finding:
    """Of the user in `store.url`: to run, and where it migrates, to do that."""
    database = facts.place.rpartition("/")[2]
    names = names_of(settings.store)
    tables = sorted(name for name in names.all if name != f"{names.tasks}_owed_work")  # a view, for others to read
    lacking = missing(facts.grants, database, tables)
    needed = (*lacking.run, *(lacking.migrate if settings.store.migrate else ()))
    if not needed:
        return ok("enough to run" + (" and to migrate" if not lacking.migrate else ""))
    if lacking.roles:
        return unknown(f"no grant of its own gives {', '.join(needed)}; a role may", "see SHOW GRANTS … USING")
    advice = f"GRANT {', '.join(needed)} ON {database}.* TO the user of store.url"
    if not lacking.run:
        advice += ", or let somebody else run `gridsidecar migrate` and set store.migrate: false"
    return fail(f"the user may not {', '.join(needed)} in {database}", advice)


def time_zone(facts: ServerFacts, _: Settings) -> Finding:
    if facts.time_zone in ("+00:00", "UTC"):
        return ok("our sessions run in UTC, whatever the server's own zone is")
    return fail(
        f"our session asked for UTC and has {facts.time_zone}", "let what stands between us and the server pass it on"
    )


def clock_skew(facts: ServerFacts, _: Settings) -> Finding:
    if abs(facts.ahead) - facts.uncertain <= LARGEST_SKEW:
        return ok(f"the database's clock and this machine's differ by {abs(facts.ahead):.1f} s at most")
    direction = "ahead of" if facts.ahead > 0 else "behind"
    return warn(
        f"the database's clock is {abs(facts.ahead):.1f} s {direction} this machine's",
        "let both follow a time server; leases are by the database's clock, times in the log by this one",
    )


def tls(facts: ServerFacts, settings: Settings) -> Finding:
    if facts.cipher:
        known = _verifies(settings.store.url)
        return ok(facts.cipher + ("" if known else "; nobody asks whose certificate it is: name its ssl_ca"))
    if facts.local:
        return ok("none, and nothing leaves this machine")
    if facts.tls_declined:
        return ok("none, as ssl_mode=disabled says")
    return warn("none: tasks travel in clear", "add ssl_mode=verify_identity and ssl_ca to store.url")


def _verifies(url: str) -> bool:
    asked = parse_mysql_url(url).tls
    return asked is not None and asked.mode in ("verify_ca", "verify_identity")


def read_only(facts: ServerFacts, _: Settings) -> Finding:
    if facts.read_only:
        return fail("the server is read-only", "name the primary in store.url")
    return ok("the server takes writes")


def largest_packet(facts: ServerFacts, settings: Settings) -> Finding:
    packet, message = facts.max_allowed_packet, settings.broker.max_message_bytes
    if packet >= message * COPIES:
        return ok(f"{packet:,} bytes are enough for messages of {message:,}")
    fits = int(packet / COPIES)
    return warn(
        f"{packet:,} bytes: messages of more than about {fits:,} are refused; broker.max_message_bytes is {message:,}",
        f"set max_allowed_packet to {int(message * COPIES):,}, or broker.max_message_bytes lower",
    )


def connections(facts: ServerFacts, settings: Settings, replicas: int = 1) -> Finding:
    """Of one pod, or of as many as KEDA may start."""
    processes, size = processes_of(settings), settings.store.pool_size
    api = 0 if settings.http.listen is None else min(POOL, size)
    most = (size * processes + api) * replicas
    pods = f" × {replicas} pods" if replicas > 1 else ""
    pod = f"pool_size {size} × processes {processes}" + (f" + {api} of the API" if api else "")
    sum_ = f"{f'({pod})' if api and pods else pod}{pods} = {most}"
    if not facts.max_connections:
        return unknown(f"{sum_}; what the server allows, it does not tell")
    if most > facts.max_connections:
        return warn(
            f"{sum_}, and the server allows {facts.max_connections}",
            "raise max_connections, or lower store.pool_size or the number of pods",
        )
    return ok(f"{sum_} of {facts.max_connections}")
