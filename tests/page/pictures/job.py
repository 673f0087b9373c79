"""The shop's handler: reads one task and does as its type does. Nothing but the standard library."""

import json
import sys
import time
import traceback
from pathlib import Path

STEP = 0.5  # seconds between two signs of life


class Failure(Exception):
    """How an attempt ends badly: the error's type, its words, and fields that say whether and when to try again."""

    def __init__(self, error_type, error, **again):
        super().__init__(error)
        self.event = {"error_type": error_type, "error": error, **again}


def send(kind, **event):
    print(json.dumps({"gs": 1, "type": kind, **event}), flush=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def steps(first, last, each):
    """The numbers on the way from one to another, `each` at a time, in real time."""
    for number in range(first, last, each):
        yield min(number + each, last)
        time.sleep(STEP)


def transcode(data, run):
    """30 frames a second; goes on at its checkpoint."""
    first = (run.get("checkpoint") or {}).get("frame", data["from_frame"])
    say(f"opening {data['source']}, from frame {first:,}")
    for frame in steps(first, data["frames"], 15):
        percent = 100 * frame // data["frames"]
        say(f"frame={frame:6,d} fps=30 q=28.0 size={frame * 11:8,d} KiB speed=1.2x")
        send("progress", progress=percent, progress_message=f"frame {frame:,} of {data['frames']:,}")
        send("checkpoint", data={"frame": frame})
        if run["attempt"] == 1 and data["source"].startswith("s3://archive/") and frame > first + 60:
            raise Failure("StorageTimeout", f"{data['source']} did not answer within 5 s")
    return {"target": data["target"], "frames": data["frames"]}


def thumbnails(data, run):
    for photo in steps(data["from_photo"], data["photos"], 1):
        say(f"resized IMG_{4100 + photo}.jpg to {data['width']} px")
        send("progress", progress=100 * photo // data["photos"], progress_message=f"photo {photo} of {data['photos']}")
        time.sleep(1.5)
    return {"photos": data["photos"]}


def report(data, run):
    for chapter in steps(data["from_chapter"], data["chapters"], 1):
        say(f"chapter {chapter}: totals match the ledger")
        percent = 100 * chapter // data["chapters"]
        send("progress", progress=percent, progress_message=f"chapter {chapter} of {data['chapters']}")
        time.sleep(4)
    return {"pages": 148}


def post_invoice(data, run):
    loaded = bytearray(120 << 20)  # as large as a real one is with its libraries
    say(f"connecting to ledger-db:5432 for {data['customer']}, {len(loaded) >> 20} MiB of accounts loaded")
    time.sleep(0.4)
    check(data)
    return {"booked": data["amount"], "account": 8400}


def check(invoice):
    if invoice["amount"] < 0:
        error = f"amount is {invoice['amount']}, it must not be negative"
        raise Failure("InvalidInvoice", error, retryable=False)
    if invoice["period"] == "2026-10":
        raise Failure("LedgerLocked", f"period {invoice['period']} is locked while the month is closed")


def index(data, run):
    time.sleep(0.3)
    if data["shard"] == 4:
        raise Failure("ShardReadOnly", f"shard {data['shard']} is read-only: its disk is 95 % full")
    return {"documents": 120, "shard": data["shard"]}


def mail(data, run):
    time.sleep(0.2)
    return {"accepted": data["to"], "smtp": 250}


def export(data, run):
    say("waiting for the lock of table orders")
    time.sleep(600)


def capture(data, run):
    time.sleep(0.2)
    if data["provider"] == "acquirer-2":
        raise Failure("GatewayTimeout", "acquirer-2 gave no answer within 10 s")
    return {"captured": data["cents"]}


def sync(data, run):
    raise Failure("RateLimited", "429 from the CRM: 1,000 calls in this hour are used up", retry_after_s=600)


WAYS = {
    "video.transcode": transcode,
    "thumbnails": thumbnails,
    "report.monthly": report,
    "invoice.post": post_invoice,
    "search.index": index,
    "mail.send": mail,
    "export.csv": export,
    "payment.capture": capture,
    "crm.sync": sync,
}


def main():
    task = json.loads(sys.stdin.readline())
    try:
        result = WAYS[task["task_type"]](task["data"], task["run"])
    except Failure as failure:
        told = traceback.format_exc().replace(str(Path(__file__).parent), "/srv/shop")
        send("error", traceback=told, **failure.event)
        sys.exit(1)
    send("result", result=result)


main()
