"""A persistent handler that does nothing, or sleeps for so many seconds: `noop.py 0.02`."""

import json
import sys
import time

pause = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
write, flush = sys.stdout.write, sys.stdout.flush
write('{"gs":1,"type":"ready"}\n')
flush()
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        time.sleep(pause) if pause else None
        write('{"gs":1,"type":"result","task_id":' + json.dumps(message["task_id"]) + ',"result":null}\n')
        flush()
