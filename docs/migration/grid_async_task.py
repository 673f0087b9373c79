"""Stands in for the earlier plugin, so that a script written for it is a handler of gridsidecar as it is.

Put this file beside the script. `from grid_async_task import TaskHandler, TaskProcessor` then finds it, and
`TaskProcessor(handler=...).start()` runs the one task that the sidecar gives to this process.
"""

import json
import logging
import os
import sys
import traceback


class TaskHandler:
    """The class that a script derives its own from."""

    task_id = None
    logger = logging.getLogger("grid_async_task")

    def execute(self, task_data):
        """What the task is; its return value is the result, an exception is a failed attempt."""
        raise NotImplementedError

    def report_progress(self, progress, message=""):
        """How far the task is: 0 - 100, and words for people."""
        _say(type="progress", progress=max(0, min(100, float(progress))), progress_message=str(message))

    def get_task_id(self):
        return self.task_id


class TaskProcessor:
    """Runs the handler. The settings of the earlier one belong into the sidecar's configuration now."""

    def __init__(self, handler, **_settings):
        self.handler = handler

    def start(self):
        if "GRIDSIDECAR_EVENTS" not in os.environ:
            sys.exit(
                "this script is run by gridsidecar now; try one task: gridsidecar exec --data '{}' -- python3 SCRIPT"
            )
        task = json.loads(sys.stdin.readline())
        self.handler.task_id = task["task_id"]
        try:
            result = self.handler.execute(task["data"])
            _say(type="result", result=result)
        except Exception as error:
            trace = traceback.format_exc()
            print(trace, file=sys.stderr)
            _say(type="error", error=str(error), error_type=type(error).__name__, traceback=trace)
            sys.exit(1)


def _say(**event):
    line = json.dumps({"gs": 1, **event}, default=str) + "\n"
    with open(os.environ["GRIDSIDECAR_EVENTS"], "a") as events:
        events.write(line)
