"""A trace goes on to its task's handler, callback and log lines; with an endpoint, attempts are spans."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.servers import free_port
from tests.support.waiting import eventually
from tests.support.web import web_server

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT, STATE = f"00-{TRACE_ID}-{SPAN_ID}-01", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
HEADERS = {"traceparent": PARENT, "tracestate": STATE}

# Fails at first; then its result is what it was told.
HANDLER = """
import json, os, sys
run = json.load(sys.stdin)["run"]
if run["attempt"] == 1:
    sys.exit("not yet")
print(json.dumps({"run": run, "env": {k: v for k, v in os.environ.items() if k.startswith("TRACE")}}))
"""


def config(place: Place, **sections: Any) -> dict[str, Any]:
    handler = {"command": [sys.executable, "-c", HANDLER], "result_from": "stdout"}
    sections = {"log": {"format": "json"}, "retry": {"max_retries": 1, "delay": 0.1}, **sections}
    return place.config({"default": handler}, callbacks={"allow": ["127.0.0.1"]}, **sections)


def lines(text: str, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if event in line.values()]


async def test_it_passes_through_without_any_sdk(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        sidecar = start(config(place))
        await place.publish({"task_id": "t", "callback_url": web.url}, headers=HEADERS)
        (request,) = await web.wait_for(1)
    told = json.loads(place.row("t")["result"])
    assert (told["run"]["attempt"], told["run"]["traceparent"], told["run"]["tracestate"]) == (2, PARENT, STATE)
    assert told["env"] == {"TRACEPARENT": PARENT, "TRACESTATE": STATE}
    assert (request.headers["traceparent"], request.headers["tracestate"]) == (PARENT, STATE)
    assert [line["trace_id"] for line in lines(sidecar.text, "task success")] == [TRACE_ID]
    assert [line["trace_id"] for line in lines(sidecar.text, "task retrying")] == [TRACE_ID]


async def test_a_callback_by_rabbitmq_has_it_in_its_headers(any_place: Place, start: Start) -> None:
    place = any_place
    queue = f"{place.queue}.callbacks"
    start(config(place))
    asked = {"task_id": "t", "callback_type": "rabbitmq", "callback_data": {"queue_name": queue}}
    await place.publish(asked, headers=HEADERS)
    await eventually(lambda: any(row["delivered_at"] for row in place.callbacks("t")))
    ((_, properties),) = place.take(queue)
    assert {name: properties["headers"].get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "00-0-0-01", "tracestate": STATE},
        {"traceparent": f"00-{'0' * 32}-{SPAN_ID}-01"},
        {"traceparent": 7},
        {"traceparent": PARENT + "\n"},
    ],
)
async def test_what_is_no_trace_is_left_out(embedded_place: Place, start: Start, headers: dict[str, Any]) -> None:
    place = embedded_place
    async with web_server() as web:
        sidecar = start(config(place))
        await place.publish({"task_id": "t", "callback_url": web.url}, headers=headers)
        (request,) = await web.wait_for(1)
    told = json.loads(place.row("t")["result"])
    assert (told["run"]["traceparent"], "tracestate" in told["run"], told["env"]) == (None, False, {})
    assert "traceparent" not in request.headers
    assert "trace_id" not in lines(sidecar.text, "task success")[0]


async def test_a_state_that_a_shell_could_misread_is_in_the_input_only(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    start(config(place))
    state = "dd=s:1;o:$(rum)"
    await place.publish({"task_id": "t"}, headers={"traceparent": PARENT, "tracestate": state})
    await eventually(lambda: place.status("t") == "success")
    told = json.loads(place.row("t")["result"])
    assert (told["run"]["tracestate"], told["env"]) == (state, {"TRACEPARENT": PARENT})


# -- spans ------------------------------------------------------------------------------------------------------------


class Collector:
    """An OTLP receiver on 127.0.0.1."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            found.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def exporting(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.mark.parametrize("relation", ["link", "parent"])
async def test_each_attempt_is_a_span(embedded_place: Place, start: Start, relation: str) -> None:
    place = embedded_place
    with collector() as receiver:
        named = {"OTEL_SERVICE_NAME": "mine"} if relation == "parent" else {}
        sidecar = start(config(place, traces={"producer": relation}), variables=exporting(receiver.url) | named)
        await place.publish({"task_id": "t"}, headers=HEADERS)
        await eventually(lambda: len(receiver.spans) == 2)
        sidecar.terminate()
        assert await sidecar.ended() == 0
    first, second = sorted(receiver.spans, key=lambda span: span.start_time_unix_nano)
    assert receiver.services == {"mine" if relation == "parent" else "gridsidecar"}
    assert {span.name for span in (first, second)} == {"process tasks"}
    assert {span.kind for span in (first, second)} == {Span.SPAN_KIND_CONSUMER}
    assert (first.status.code, bool(attributes(first)["error.type"])) == (2, True)
    assert (second.status.code, "error.type" in attributes(second)) == (0, False)
    told = attributes(second)
    assert (told["messaging.operation.type"], told["messaging.destination.name"]) == ("process", "tasks")
    assert (told["gridsidecar.task.id"], told["gridsidecar.attempt"]) == ("t", 2)
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in second.links]
    assert (first.trace_id.hex(), first.span_id.hex()) in links
    if relation == "link":
        assert (TRACE_ID, SPAN_ID) in links
        assert {first.parent_span_id, second.parent_span_id} == {b""}
        assert len({first.trace_id.hex(), second.trace_id.hex(), TRACE_ID}) == 3
    else:
        assert {first.trace_id.hex(), second.trace_id.hex()} == {TRACE_ID}
        assert {first.parent_span_id.hex(), second.parent_span_id.hex()} == {SPAN_ID}
    inside = json.loads(place.row("t")["result"])["env"]["TRACEPARENT"]
    assert inside == f"00-{second.trace_id.hex()}-{second.span_id.hex()}-01"
    (line,) = lines(sidecar.text, "task success")
    assert line["trace_id"] == second.trace_id.hex()


async def test_a_collector_that_is_away_costs_no_task_and_is_told_once(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    sidecar = start(config(place), variables=exporting(f"http://127.0.0.1:{free_port()}"))
    await place.publish(*({"task_id": f"t{number}"} for number in range(5)))
    await eventually(lambda: place.statuses() == {"success": 5})
    await sidecar.said("spans cannot be sent")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert sidecar.text.count("spans cannot be sent") == 1
    assert "Traceback" not in sidecar.text


async def test_nothing_of_it_is_loaded_without_an_endpoint() -> None:
    program = "import sys; import gridsidecar.daemon; assert not [m for m in sys.modules if 'opentelemetry' in m]"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
