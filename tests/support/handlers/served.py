"""A server that runs tasks, with nothing but Python: `served.py PORT [LOG]`. LOG gets a line `what task attempt`."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Tasks(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.task = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.note("start")
        try:
            self.say(type="progress", progress=50)
            getattr(self, self.task["data"]["do"])(**self.task["data"])
            self.wfile.write(b"0\r\n\r\n")
            self.note("end")
        except OSError:
            self.note("closed")

    def echo(self, n=None, s=0, **_):
        time.sleep(s)
        self.say(type="result", result={"id": self.task["task_id"], "n": n})

    def rest(self, s, **_):
        until = time.monotonic() + s
        while time.monotonic() < until:
            time.sleep(0.05)
            self.say(type="heartbeat")  # who writes hears that nobody listens any more
        self.say(type="result")

    def crash(self, s=0, **_):
        time.sleep(s)
        os.kill(os.getpid(), 9)

    def say(self, **message):
        line = json.dumps({"gs": 1, **message}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def note(self, what):
        if len(sys.argv) > 2:
            with open(sys.argv[2], "a") as log:
                log.write(f"{what} {self.task['task_id']} {self.task['run']['attempt']}\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Tasks).serve_forever()
