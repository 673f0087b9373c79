"""Sends one task with plain pika, and prints its id."""

import json
import os
import signal
import uuid

import pika

url = os.environ.get("GRID_ASYNC_TASK_AMQP_URL", "amqp://guest:guest@localhost/%2F")
queue = os.environ.get("GRID_ASYNC_TASK_QUEUE", "task_queue")
task = {"task_id": f"python-{uuid.uuid4()}", "data": {"text": "to be or not to be"}, "max_retry_count": 3}

signal.alarm(30)  # seconds for all of it: a confirm is awaited without an end
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish raises where the broker did not take it
channel.basic_publish(
    "",
    queue,
    json.dumps(task).encode(),
    pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=task["task_id"]),
    mandatory=True,  # and where there is no such queue
)
print(task["task_id"])
connection.close()
