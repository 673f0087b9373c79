"""A producer that needs no library: it sends tasks through RabbitMQ's management API and prints their ids.

In earnest, send them with the AMQP client of your language: this API is not made for many messages.
"""

import base64
import http.client
import json
import os
import secrets
from urllib.parse import quote, unquote, urlsplit

QUEUE = os.environ.get("QUEUE", "task_queue")
URL = urlsplit(os.environ["MANAGEMENT_URL"])
VHOST = quote(unquote(URL.path.lstrip("/")) or "/", safe="")
LOGIN = base64.b64encode(f"{unquote(URL.username)}:{unquote(URL.password)}".encode()).decode()

RUN = secrets.token_hex(2)  # an id names one task for ever: each run of this program needs new ones
TASKS = [
    {"task_id": f"quick-{RUN}", "data": {"name": "one"}},
    {"task_id": f"steps-{RUN}", "data": {"name": "two", "steps": 5, "seconds": 3}},
    {"task_id": f"flaky-{RUN}", "data": {"name": "three", "failures": 1}},
    {"task_id": f"later-{RUN}", "data": {"name": "four"}, "defer_by": 5},
]


def call(method, path, content):
    """The answer to one request, or None where it has no content."""
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=10)
    headers = {"Authorization": f"Basic {LOGIN}", "Content-Type": "application/json"}
    connection.request(method, f"/api/{path}", json.dumps(content), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"RabbitMQ answered {answer.status} to {method} {path}: {text}")
    return json.loads(text) if text else None


def send(task):
    message = {"routing_key": QUEUE, "payload": json.dumps(task), "payload_encoding": "string"}
    message["properties"] = {"delivery_mode": 2, "content_type": "application/json"}
    if not call("POST", f"exchanges/{VHOST}/amq.default/publish", message)["routed"]:
        raise SystemExit(f"no queue {QUEUE}: {task['task_id']} went nowhere")
    print(task["task_id"], flush=True)


# The sidecar creates the queue when it is missing. Whoever comes first does it the same way.
call("PUT", f"queues/{VHOST}/{quote(QUEUE, safe='')}", {"durable": True})
for task in TASKS:
    send(task)
