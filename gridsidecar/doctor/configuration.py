"""The configuration as far as it is right, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Diagnosis, Finding, State, fail, ok
from gridsidecar.errors import ConfigError, Fault

PIVOTAL = {  # keys without which nothing of a section can be tried
    "broker": ("broker", "broker.url", "broker.queue"),
    "store": ("store", "store.url", "store.table_prefix", "store.table_name"),
}


class Configuration(Struct, frozen=True):
    """`settings` None: nothing of it can be used. `broken`: keys that are wrong, and hold something else here."""

    settings: Settings | None
    broken: frozenset[str]
    findings: tuple[Diagnosis, ...]

    def usable(self, section: str) -> bool:
        return not self.broken & set(PIVOTAL[section])


def read_configuration(path: str | None, environ: Mapping[str, str]) -> Configuration:
    unusual: list[Diagnosis] = []

    def warn_of(key: str, hint: str) -> None:
        unusual.append(Diagnosis("config.unusual", Finding(State.WARN, f"{key} is unusual", hint)))

    def without_effect(name: str, advice: str) -> None:
        unusual.append(Diagnosis("config.variables", Finding(State.WARN, f"{name} has no effect", advice)))

    try:
        settings = load(path, environ=environ, warn=without_effect, unusual=warn_of)
    except ConfigError as error:
        found = (*_faults(error.faults), *unusual)
        usable = error.usable if isinstance(error.usable, Settings) else None
        return Configuration(usable, frozenset(fault.key for fault in error.faults), found)
    return Configuration(
        settings, frozenset(), (Diagnosis("config", ok(f"{path or 'the environment'} is valid")), *unusual)
    )


def _faults(faults: list[Fault]) -> Iterator[Diagnosis]:
    for fault in faults:
        yield Diagnosis("config", fail(str(fault), "correct it; `gridsidecar config reference` describes every key"))
