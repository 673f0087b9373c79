"""All checks at the same time, each within its limit, whatever hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from gridsidecar.clock import Clock
from gridsidecar.doctor import address_and_heartbeat, handlers, kubernetes
from gridsidecar.doctor.broker import BrokerArea
from gridsidecar.doctor.callbacks import CallbackArea
from gridsidecar.doctor.configuration import Configuration, read_configuration
from gridsidecar.doctor.finding import CannotTell, Diagnosis, Diagnostic, Finding, State, fail, unknown
from gridsidecar.doctor.store import StoreArea
from gridsidecar.errors import GridSidecarError, UsageError

LIMIT = 3.0  # seconds for a check


class DoctorReport(Struct, frozen=True):
    """Everything that was found, in the order of the areas."""

    checked: tuple[Diagnosis, ...]

    def count(self, state: State) -> int:
        return sum(each.finding.state is state for each in self.checked)

    def failed(self, *, strict: bool) -> bool:
        """`strict`: warnings are failures."""
        return self.count(State.FAIL) > 0 or (strict and self.count(State.WARN) > 0)


async def examine(
    path: str | None,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    manifest: str | None = None,
    only: Collection[str] = (),
) -> DoctorReport:
    """The findings about a configuration, and about a manifest where one is named.

    `only`: ids, areas or patterns of them; UsageError where one fits no check.
    """
    configuration = read_configuration(path, environ)
    areas = _Areas(configuration, environ, clock, manifest)
    try:
        checks = areas.checks()
        _refuse_unknown(
            () if configuration.settings is None else only,
            (*(each.id for each in configuration.findings), *(check.id for check in checks)),
        )
        await areas.prepare()
        unusable = configuration.settings is None  # then that is the news, whatever was asked for
        told = [each for each in configuration.findings if unusable or _wanted(each.id, only)]
        found = await asyncio.gather(*(_examined(check) for check in checks if _wanted(check.id, only)))
    finally:
        await areas.close()
    return DoctorReport((*told, *found))


class _Areas:
    """What there is to look at. A section whose address is wrong is left out, and said to be."""

    def __init__(
        self, configuration: Configuration, environ: Mapping[str, str], clock: Clock, manifest: str | None
    ) -> None:
        self._configuration = configuration
        self._environ = environ
        self._manifest = manifest
        self._broker: BrokerArea | None = None
        self._store: StoreArea | None = None
        settings = configuration.settings
        if settings is not None and configuration.usable("broker"):
            self._broker = BrokerArea(settings)
        if settings is not None and configuration.usable("store"):
            self._store = StoreArea(settings, clock)

    def checks(self) -> list[Diagnostic]:
        settings = self._configuration.settings
        if settings is None:
            return []
        facts = None if self._store is None else self._store.facts
        found = [*(_left_out("broker") if self._broker is None else self._broker.checks())]
        found += _left_out("store") if self._store is None else self._store.checks()
        found += handlers.checks(
            settings, self._environ, self._configuration.broken, leave_often=self._manifest is not None
        )
        found += address_and_heartbeat.checks(settings)
        found += CallbackArea(settings, facts).checks()
        if self._manifest is not None:
            found += kubernetes.checks(self._manifest, settings, facts, self._configuration.broken)
        return found

    async def prepare(self) -> None:
        if self._broker is not None:
            await self._broker.prepare()

    async def close(self) -> None:
        for area in (self._broker, self._store):
            if area is not None:
                await area.close()


def _left_out(section: str) -> list[Diagnostic]:
    async def examine() -> Finding:
        raise CannotTell("its address in the configuration is wrong: see config")

    return [Diagnostic(f"{section}.connect", examine)]


async def _examined(check: Diagnostic) -> Diagnosis:
    nothing = fail if check.vital else unknown
    try:
        async with asyncio.timeout(LIMIT):
            return Diagnosis(check.id, await check.examine())
    except TimeoutError:
        finding = nothing(
            f"no answer within {LIMIT:g} s", "see whether the server hangs, or something on the way drops it"
        )
    except CannotTell as reason:
        finding = unknown(str(reason))
    except (GridSidecarError, OSError) as error:
        finding = nothing(
            getattr(error, "found", str(error)), getattr(error, "advice", "") or "correct that, and ask again"
        )
    except Exception as error:  # the other checks go on
        finding = unknown(f"the check itself failed: {type(error).__name__}: {error}", "please report this")
    return Diagnosis(check.id, finding)


def _wanted(name: str, only: Collection[str]) -> bool:
    return not only or any(_fits(name, pattern) for pattern in only)


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _refuse_unknown(only: Collection[str], names: Iterable[str]) -> None:
    known = sorted(set(names))
    for pattern in only:
        if not any(_fits(name, pattern) for name in known):
            raise UsageError(f"there is no check {pattern!r} here; there are: {', '.join(known)}")
