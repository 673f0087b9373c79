"""Whether spans are sent: where the extra `otel` is installed and the standard variables name a receiver."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.config.settings import Settings

if TYPE_CHECKING:
    from gridsidecar.telemetry.spans import Spans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def make_spans(settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Spans | None:
    """None: no spans; trace headers pass through all the same."""
    if not any(environ.get(name) for name in ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        telemetry.warning("no spans are sent", hint="install gridsidecar[otel], or unset OTEL_EXPORTER_OTLP_ENDPOINT")
        return None
    from gridsidecar.telemetry.spans import Spans

    return Spans(settings, clock)
