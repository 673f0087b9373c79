"""What runs a sidecar on one machine: a file of compose, or a unit of systemd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from msgspec import Struct

from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Finding, fail, ok
from gridsidecar.runtime.shutdown import longest_exit

_DEFAULTS = {"compose": 10.0, "systemd": 90.0}  # seconds
_KEYS = {"compose": "stop_grace_period", "systemd": "TimeoutStopSec"}
_UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")


class ServiceFile(Struct, frozen=True):
    """`grace` is the time from SIGTERM to SIGKILL as the file has it; None: it says nothing."""

    area: Literal["compose", "systemd"]
    grace: str | None


def read_service_file(path: str) -> ServiceFile | None:
    """None where the file is something else, or nothing that can be read."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if re.search(r"^\[Service\]$", text, re.MULTILINE):
        found = re.findall(r"^TimeoutStopSec=(.*)$", text, re.MULTILINE)
        return ServiceFile("systemd", found[-1].strip() if found else None)
    service = _service(text)
    return None if service is None else ServiceFile("compose", service.get("stop_grace_period"))


def _service(text: str) -> Mapping[str, Any] | None:
    """The one whose health the sidecar tells, or that is called `sidecar`."""
    try:
        content: Any = yaml.safe_load(text)
        for name, each in content["services"].items():
            if name == "sidecar" or "gridsidecar" in str(each.get("healthcheck")):
                return dict(each)
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        pass
    return None


def stop_grace(service: ServiceFile, settings: Settings) -> Finding:
    key, needed = _KEYS[service.area], longest_exit(settings)
    given = _DEFAULTS[service.area] if service.grace is None else _seconds(str(service.grace))
    if given is None:
        return fail(f"{key} cannot be read: {service.grace}", f"write {key} as seconds, such as {needed}s")
    if given < needed:
        return fail(
            f"{key} is {given:g} s, leaving may take {needed} s: handlers are killed", f"set it to {needed}s or more"
        )
    return ok(f"{key} of {given:g} s is enough for the {needed} s that leaving may take")


def _seconds(text: str) -> float | None:
    """`1m30s` as compose has it, `1min 30s` as systemd does; infinity is no limit."""
    if text == "infinity":
        return float("inf")
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text) or any(unit not in _UNITS for _, unit in parts):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
