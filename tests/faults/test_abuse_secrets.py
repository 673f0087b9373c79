"""What a handler can learn of the sidecar that runs it: no credentials, wherever it looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.place import Place
from tests.support.sidecar import ROOT

# root may look into every process: the test takes that right from the sidecar and what it starts
AS_ANYBODY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []

SPY = r"""
import glob, json, os, sys

seen = {"stdin": sys.stdin.read(), "argv": " ".join(sys.argv), "environment": json.dumps(dict(os.environ))}
open_files = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
own_daemon = os.getppid()
for name in ("environ", "cmdline", "maps", "mem"):
    path = f"/proc/{own_daemon}/{name}"
    try:
        with open(path, "rb") as file:
            seen[path] = file.read(100_000).decode("latin-1")
    except OSError as error:
        seen[path] = type(error).__name__
for number in range(256):
    try:
        with open(f"/proc/{own_daemon}/fd/{number}", "rb"):
            seen[f"fd {number}"] = "opened"
    except OSError:
        pass
seen["ours"] = [os.readlink(path) for path in open_files if os.path.exists(path)]
with open(sys.argv[1], "w") as file:
    json.dump({**seen, "daemon": own_daemon}, file)
"""


def test_credentials_are_hidden_from_handlers(place: Place, tmp_path: Path) -> None:
    report = tmp_path / "report"
    (tmp_path / "spy.py").write_text(SPY)
    handler = {"command": [sys.executable, "-I", "-S", str(tmp_path / "spy.py"), str(report)]}
    config = place.config(
        {"default": handler},
        broker={"url": "${SPIED_BROKER}"},
        store={"url": "${SPIED_STORE}"},
        callbacks={"signing_secret": "${SPIED_SECRET}", "max_retries": 0},
    )
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with place.channel() as channel:
        place.declare(channel)
        channel.confirm_delivery()
        channel.basic_publish(
            "",
            place.queue,
            json.dumps(
                {
                    "task_id": "spy",
                    "data": {"n": 1},
                    "callback_url": "http://127.0.0.1:9/top-secret-path",
                    "callback_type": "http",
                    "callback_data": {"for": "the receiver"},
                }
            ).encode(),
        )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "SPIED_BROKER": place.broker_url,
        "SPIED_STORE": place.store_url,
        "SPIED_SECRET": "top-secret-signature-of-32-bytes",
        "MYSQL_PASSWORD": "top-secret-password",
    }
    done = subprocess.run(
        [*AS_ANYBODY, sys.executable, "-m", "gridsidecar", "run", "-c", str(tmp_path / "config.yaml"), "--once"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert place.status("spy") == "success", place.row("spy")

    seen = json.loads(report.read_text())
    whole = json.dumps(seen)
    for secret in ("top-secret", place.broker_url, place.store_url, "SPIED", "callback_url", "callback_type"):
        assert secret not in whole, f"the handler saw {secret}"
    daemon = f"/proc/{seen['daemon']}"
    for name in ("environ", "maps", "mem"):
        assert seen[f"{daemon}/{name}"] == "PermissionError", "the daemon's own /proc was to be closed"
    assert not [key for key in seen if key.startswith("fd ")]
    assert "gridsidecar run" in seen[f"{daemon}/cmdline"].replace("\0", " "), "it was to look at the daemon"
    assert json.loads(seen["stdin"])["data"] == {"n": 1}
    assert not [path for path in seen["ours"] if path.startswith("socket:")]
