"""A shop's fleet on RabbitMQ and MySQL: four workers, nine types of task, and a day on which some go wrong."""

from __future__ import annotations

import http.server
import shutil
import sys
import threading
from asyncio import run
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.page import conftest
from tests.page.pictures.past import lay_down
from tests.support.place import Place
from tests.support.sidecar import Sidecar

JOB = Path(__file__).with_name("job.py")
WORKERS = [f"shop-worker-{number}" for number in range(4)]
EACH = 2  # tasks that one of them runs at a time
PATIENCE = 90.0  # seconds, on a busy machine
TYPES: dict[str, dict[str, Any]] = {
    "video.transcode": {"retry": {"max_retries": 3, "delay": 2}, "timeout": 3600},
    "thumbnails": {},
    "report.monthly": {"timeout": 3600},
    "invoice.post": {"retry": {"max_retries": 3, "delay": 1}},
    "search.index": {"retry": {"max_retries": 1, "delay": 1}},
    "mail.send": {},
    "export.csv": {"timeout": 2, "kill_grace": 1},
    "payment.capture": {"breaker": {"failures": 2, "cool_down": 900}},
    "crm.sync": {"retry": {"max_retries": 5, "delay": 600}},
}


def until(true: Callable[[], Any], what: str) -> None:
    conftest.until(true, what, PATIENCE)


class Shop:
    """Its first worker answers at `url`."""

    def __init__(self, place: Place, url: str, hooks: str) -> None:
        self.place = place
        self.url = url
        self.hooks = hooks
        self.client = httpx.Client(base_url=f"{url}/v1/", timeout=30)

    def found(self, path: str, **params: Any) -> Any:
        return self.client.get(path, params=params).raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> None:
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text

    def submit(self, task_id: str, task_type: str, data: dict[str, Any], **more: Any) -> None:
        self.post("tasks", {"task_id": task_id, "task_type": task_type, "data": data, **more})

    def is_over(self, task_id: str, *statuses: str) -> None:
        until(lambda: self.found(f"tasks/{task_id}")["status"] in statuses, f"{task_id} is {statuses}")


@contextmanager
def shop(folder: Path, amqp_url: str, store_url: str, queue: str) -> Iterator[Shop]:
    place = Place(amqp_url, store_url, queue, folder)
    shutil.copy(JOB, folder)
    with _receiver() as hooks, _workers(place) as (first, *_):
        url = next(word.removeprefix("url=") for word in first.text.split() if word.startswith("url=http"))
        run(lay_down(store_url, queue))
        opened = Shop(place, url, hooks)
        with opened.client:
            yield opened


@contextmanager
def _workers(place: Place) -> Iterator[list[Sidecar]]:
    started = [Sidecar(place.folder / name, _config(place, name)) for name in WORKERS]
    try:
        until(lambda: all(one.says("consuming") for one in started), "all workers consume")
        yield started
    finally:
        for one in started:
            one.terminate()
        until(lambda: all(one.exit_code is not None for one in started), "all workers leave")


def _config(place: Place, name: str) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", str(place.folder / JOB.name)]
    config = place.config(
        {task_type: {"command": command, **settings} for task_type, settings in TYPES.items()},
        broker={"dead_letter_failed": True},
        worker={"name": name, "concurrency": EACH, "shutdown_grace": 0},
        callbacks={"allow": ["127.0.0.1"], "max_retries": 1},
        log={"level": "INFO"},
        http={"listen": "127.0.0.1:0"},
    )
    return {**config, "progress_interval": 0.5}


class _Hooks(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204 if self.path.endswith("/shop") else 500)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _receiver() -> Iterator[str]:
    """Whom callbacks are sent to: the shop takes them, all others are broken."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hooks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/callbacks"
        server.shutdown()


# -- its day ----------------------------------------------------------------------------------------------------------


def troubles(shop: Shop) -> None:
    """What goes wrong, until it has."""
    _video(shop, 0, "s3://archive/2026/launch-event.mov", 1_900, 5_400)
    for number in range(2):
        shop.submit(f"invoice-2041{number}", "invoice.post", _invoice(number, "2026-10"))
    shop.submit("invoice-20415", "invoice.post", _invoice(5, "2026-11") | {"amount": -240})
    for number in (1, 2):
        hook = f"{shop.hooks}/erp"
        shop.submit(f"mail-20260{number}", "mail.send", {"to": f"customer{number}@example.org"}, callback_url=hook)
    for number in range(len(WORKERS) + 1):  # so that one of them sees two, and pauses the type
        payment = {"order": 5120 + number, "cents": 12_900 + 700 * number, "provider": "acquirer-2"}
        shop.submit(f"payment-512{number}", "payment.capture", payment)
    shop.submit("export-orders-eu", "export.csv", {"table": "orders", "region": "eu"})
    shop.submit("index-88104", "search.index", {"shard": 4, "index": "products"})
    for number in range(4):
        shop.submit(f"crm-contact-{7301 + number}", "crm.sync", {"contact": 7301 + number})
    shop.is_over("crm-contact-7304", "retrying")
    shop.post("tasks/crm-contact-7304/cancel", {})
    run(shop.place.publish_bodies(b'{"task_id": "label-9917", "task_type": "label.pr', b'{"task_type": "label.print"}'))
    for name in ("invoice-20410", "invoice-20415", "export-orders-eu", "index-88104"):
        shop.is_over(name, "failed")
    tomorrow = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    pause = {"until": tomorrow, "reason": "the orders table is being moved"}
    shop.post("types/export.csv/pause", pause)
    until(lambda: len(shop.found("dead")["dead"]) >= 8, "there are dead letters")
    until(lambda: len(shop.found("pauses")["pauses"]) == 2, "two types are paused")
    until(lambda: len(shop.found("callbacks", dead="true")["callbacks"]) >= 2, "callbacks are given up")


def work(shop: Shop) -> None:
    """What runs while somebody looks, and what waits for it."""
    _video(shop, 1, "s3://uploads/unboxing-4k.mov", 4_300, 5_700)
    _video(shop, 2, "s3://uploads/size-guide.mov", 160, 4_200)
    for number, (first, photos) in enumerate([(21, 80), (64, 90), (2, 60)]):
        data = {"album": 540 + number, "from_photo": first, "photos": photos, "width": 640}
        shop.submit(f"album-54{number}", "thumbnails", data)
    for number, (region, first) in enumerate([("eu", 13), ("us", 5)]):
        data = {"month": "2026-10", "region": region, "from_chapter": first, "chapters": 24 + number}
        shop.submit(f"report-2026-10-{region}", "report.monthly", data)
    until(lambda: len(shop.found("tasks", status="running")["tasks"]) == EACH * len(WORKERS), "all slots are taken")
    until(lambda: shop.found("tasks/video-30710")["attempt"] == 2, "a video is tried again")
    for number in range(4):
        shop.submit(f"mail-30260{number}", "mail.send", {"to": f"customer{number}@example.org"})
    shop.submit("mail-302604", "mail.send", {"to": "partner@example.org"}, callback_url=f"{shop.hooks}/shop")


def _video(shop: Shop, number: int, source: str, first: int, frames: int) -> None:
    target = f"s3://media/{Path(source).stem}.mp4"
    data = {"source": source, "target": target, "profile": "1080p", "from_frame": first, "frames": frames}
    shop.submit(f"video-3071{number}", "video.transcode", data)


def _invoice(number: int, period: str) -> dict[str, Any]:
    customer = ["Nordlicht GmbH", "Atelier Blanc", "Tanaka Trading"][number % 3]
    lines = [{"sku": "LAMP-20", "count": 4, "price": 89.5}, {"sku": "CABLE-3", "count": 12, "price": 6.9}]
    return {"number": 20_410 + number, "customer": customer, "period": period, "amount": 440.8, "lines": lines}
