"""A handler in Python: reads one task, tells how far it is, sends a result."""

import json
import sys
import time


def send(event: dict[str, object]) -> None:
    print(json.dumps({"gs": 1, **event}), flush=True)


task = json.loads(sys.stdin.readline())
images = task["data"]["images"]
made = []
for number, image in enumerate(images, 1):
    time.sleep(0.4)  # the real work would be here
    made.append(image.replace(".jpg", "-small.jpg"))
    send({"type": "progress", "progress": 100 * number // len(images), "progress_message": f"resized {image}"})

send({"type": "result", "result": {"made": len(made), "last": made[-1]}})
