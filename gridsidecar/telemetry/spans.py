"""A span for each attempt, sent by OTLP. Loaded where the extra `otel` is installed and an endpoint is set."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b

from msgspec.structs import replace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from yarl import URL

from gridsidecar import __version__, telemetry
from gridsidecar.clock import Clock
from gridsidecar.config.settings import Settings
from gridsidecar.rules.task import Claim, Failed, Outcome, Succeeded
from gridsidecar.rules.trace import Trace
from gridsidecar.telemetry.libraries import hear

DEFAULT_NAME = "gridsidecar"  # of the service; OTEL_SERVICE_NAME wins
TOLD_AGAIN = 600.0  # seconds between two warnings that spans cannot be sent
LONGEST_REASON = 300  # characters
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}


class Spans:
    """The spans under way. What they say is that of OpenTelemetry's conventions for messaging."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._as_child = settings.traces.producer == "parent"
        self._queue = settings.broker.queue
        self._ids = _Ids(f"{settings.store.url.rpartition('@')[2]} {self._queue}")
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": DEFAULT_NAME}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gridsidecar", __version__)
        self._attributes = _attributes(settings)
        self._open: dict[tuple[str, int], Span] = {}
        self._clock = clock
        self._quiet_until = 0.0  # monotonic seconds
        hear("opentelemetry", self._problem)

    def begin(self, claim: Claim) -> Claim:
        """The attempt's handler starts: the claim for it, which knows its span."""
        producers = Trace.of(claim.task.message.headers)
        links = [] if producers is None or self._as_child else [Link(_context(producers))]
        if claim.attempt > 1:
            links.append(Link(self._before(claim, producers)))
        parent = Context() if producers is None or not self._as_child else _inside(producers)
        self._ids.next = (claim.task_id, claim.attempt)
        span = self._tracer.start_span(
            f"process {self._queue}",
            context=parent,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={
                **self._attributes,
                "messaging.message.id": claim.task.message.message_id or claim.task_id,
                "gridsidecar.task.id": claim.task_id,
                "gridsidecar.task.type": claim.task.task_type,
                "gridsidecar.attempt": claim.attempt,
            },
        )
        assert isinstance(span, Span | NonRecordingSpan)
        if isinstance(span, Span):
            self._open[claim.task_id, claim.attempt] = span
        return replace(claim, span=_trace(span.get_span_context()))

    def _before(self, claim: Claim, producers: Trace | None) -> SpanContext:
        """The span of the attempt before this one, whoever ran it."""
        before = self._ids.of(claim.task_id, claim.attempt - 1)
        if producers is None or not self._as_child:
            return before
        return SpanContext(int(producers.trace_id, 16), before.span_id, is_remote=True, trace_flags=before.trace_flags)

    def end(self, claim: Claim, outcome: Outcome | None) -> None:
        """The attempt ended; None: by an error of ours. Of one that never began this means nothing."""
        span = self._open.pop((claim.task_id, claim.attempt), None)
        if span is None:
            return
        match outcome:
            case Succeeded():
                pass  # unset is how the conventions say it
            case Failed(error=error, error_type=error_type):
                span.set_attribute("error.type", error_type)
                span.set_status(Status(StatusCode.ERROR, error[:LONGEST_REASON]))
            case _:
                span.set_attribute("error.type", type(outcome).__name__)
                span.set_status(StatusCode.ERROR)
        span.end()

    def _problem(self, text: str) -> None:
        """Of any thread; the SDK repeats itself at each try."""
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + TOLD_AGAIN
            telemetry.warning("spans cannot be sent", reason=text[:LONGEST_REASON])

    async def close(self, limit: float) -> None:
        """Send what is left, for so many seconds at most."""
        closed, loop = asyncio.Event(), asyncio.get_running_loop()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(closed.set)

        # A pool's threads would be joined at the end of the program, however long they hang.
        threading.Thread(target=close, name="spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await closed.wait()


class _Ids(IdGenerator):
    """Ids that follow from task and attempt: whoever runs the next attempt knows those of this one."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.next = ("", 0)

    def generate_trace_id(self) -> int:
        return self.of(*self.next).trace_id

    def generate_span_id(self) -> int:
        return self.of(*self.next).span_id

    def of(self, task_id: str, attempt: int) -> SpanContext:
        digest = blake2b(f"{self._place} {attempt} {task_id}".encode("utf-8", "replace"), digest_size=24).digest()
        trace_id, span_id = int.from_bytes(digest[:16]), int.from_bytes(digest[16:])
        return SpanContext(trace_id or 1, span_id or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _attributes(settings: Settings) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": settings.broker.queue,
    }
    if not settings.broker.embedded:
        url = URL(settings.broker.urls[0])
        found["messaging.system"] = "rabbitmq"
        found["server.address"] = url.host or ""
        found["server.port"] = url.port or DEFAULT_PORTS.get(url.scheme, 5672)
    return found


def _context(trace: Trace) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace.parent[53:55], 16)),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )


def _inside(trace: Trace) -> Context:
    return set_span_in_context(NonRecordingSpan(_context(trace)), Context())


def _trace(context: SpanContext) -> Trace:
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return Trace(parent, context.trace_state.to_header() or None)
