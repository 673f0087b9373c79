"""Whom callbacks and notices go to: names that can be looked up, addresses that may be contacted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gridsidecar.broker.names import is_ours
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Asked, Diagnostic, Finding, fail, ok, warn
from gridsidecar.language import counted
from gridsidecar.outbound import EgressPolicy
from gridsidecar.outbound.resolver import Resolver, system_resolve
from gridsidecar.store import Store, make_store
from gridsidecar.store.inspection import DatabaseFacts, FileFacts

if TYPE_CHECKING:
    from gridsidecar.views import CallbackRow

MOST_CALLBACKS = 100  # the newest that are owed or were given up
MOST_HOSTS = 20


class CallbackArea:
    """Checks of `callbacks` and `notify`. URLs of callbacks come with tasks: those in the database are looked at."""

    def __init__(self, settings: Settings, facts: Asked[DatabaseFacts] | None) -> None:
        self._settings = settings
        self._facts = facts
        self._resolver = Resolver(system_resolve)
        self._egress = EgressPolicy(tuple(settings.callbacks.allow), settings.callbacks.block_private)

    def checks(self) -> list[Diagnostic]:
        found = [Diagnostic("callbacks.queue", self._queue), Diagnostic("callbacks.allow", self._allow)]
        if self._facts is not None:
            found.append(Diagnostic("callbacks.targets", self._owed))
        if self._settings.notify:
            found.append(Diagnostic("notify.targets", self._notices))
        return found

    async def _queue(self) -> Finding:
        name = self._settings.callbacks.queue
        if is_ours(name, self._settings.broker):
            return fail(f"{name} is a queue of tasks or dead letters", "name another in callbacks.queue")
        others = ", ".join(self._settings.callbacks.queues)
        return ok(f"{name}; a task may name {'any other (callbacks.queues)' if others == '*' else others}")

    async def _allow(self) -> Finding:
        names = [each for each in self._settings.callbacks.allow if "/" not in each and not each.startswith("*.")]
        if lost := [name for name in names[:MOST_HOSTS] if await self._addresses(name) is None]:
            return warn(f"no address is known for {', '.join(lost)}", "correct callbacks.allow, or the name server")
        return ok(counted(len(self._settings.callbacks.allow), "entry", "entries"))

    async def _owed(self) -> Finding:
        """Hosts of callbacks that are owed or were given up."""
        assert self._facts is not None
        facts = await self._facts.known()
        if facts.tables is None or (isinstance(facts, FileFacts) and not facts.exists):
            return ok("no callback is owed: there are no tables yet")
        hosts = await self._hosts()
        told: dict[str, Sequence[CallbackRow]] = {}
        for host, rows in list(hosts.items())[:MOST_HOSTS]:
            if (problem := await self._problem(host)) is not None:
                told[f"{problem} (task {rows[0]['task_id']})"] = rows
        if told:
            finding = warn if all(row["dead"] for rows in told.values() for row in rows) else fail
            return finding("; ".join(told), "correct callbacks.allow, or give them up: `callbacks drop`")
        return ok(f"{counted(len(hosts), 'host')} of callbacks that are owed or given up may be contacted")

    async def _hosts(self) -> dict[str, list[CallbackRow]]:
        """By host, the callbacks of our queue that go there."""
        store: Store = make_store(self._settings.store, self._settings.broker.queue)
        try:
            queue = self._settings.broker.queue
            rows = await store.outbox.all(owed=True, queue=queue, limit=MOST_CALLBACKS)
            rows += await store.outbox.all(dead=True, queue=queue, limit=MOST_CALLBACKS)
        finally:
            await store.close()
        hosts: dict[str, list[CallbackRow]] = {}
        for row in rows:
            if row["kind"] == "http" and row["url"] and (host := _host(row["url"])) is not None:
                hosts.setdefault(host, []).append(row)
        return dict(sorted(hosts.items()))

    async def _problem(self, host: str) -> str | None:
        addresses = await self._addresses(host)
        if addresses is None:
            return f"no address is known for {host}"
        return self._egress.refusal(host, addresses)

    async def _notices(self) -> Finding:
        urls = [url for each in self._settings.notify for url in (each.url, each.smtp_url) if url]
        hosts = sorted({host for url in urls if (host := _host(url)) is not None})
        if lost := [host for host in hosts[:MOST_HOSTS] if await self._addresses(host) is None]:
            return warn(f"no address is known for {', '.join(lost)}", "correct notify, or the name server")
        return ok(", ".join(hosts))

    async def _addresses(self, host: str) -> list[str] | None:
        try:
            return await self._resolver.addresses(host) or None
        except (OSError, UnicodeError):
            return None


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
