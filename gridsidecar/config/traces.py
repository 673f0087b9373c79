"""The settings of traces. Where spans go is said by OpenTelemetry's standard variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gridsidecar.config.section import Section


class TraceSettings(Section):
    """How the span of an attempt hangs together with that of its producer."""

    producer: Literal["link", "parent"] = Field(
        default="link",
        description="link: each attempt is a trace of its own, linked to the producer's; parent: a span of that trace. "
        "Spans are sent where OTEL_EXPORTER_OTLP_ENDPOINT is set and gridsidecar[otel] is installed.",
    )
