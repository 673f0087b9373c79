"""What the rules know when a delivery comes, and what they may make of it: values only."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import NO_CALLBACK, Callback, Status


class Row(Struct, frozen=True, kw_only=True):
    """What the rules need of a task's row, read under its lock. Seconds are by the database's clock."""

    status: Status
    attempt: int
    retry_count: int = 0
    crashes: int = 0
    interruptions: int = 0
    max_retry_count: int = 0
    worker_id: str | None = None
    message_id: str | None = None
    store_redelivers: bool = False  # the store, not the broker, brings the task back: column handed_off
    cancel_requested: bool = False
    ahead: bool = False  # claimed before there was a slot for it: nobody knows whether it has started
    due_in: float = 0.0  # until the next run; <= 0 is due
    reserved: bool = False  # the handler's rate has given the next run its start
    lease_left: float | None = None  # of the owner; None or <= 0: it is not alive
    # Not for the rules, but for the claim:
    checkpoint: Any = None
    callback: Callback = NO_CALLBACK
    foreign: bool = False  # written by another program; none of ours has had its message yet
    unseen: bool = False  # cancelled by its id before any worker saw its message
    owner: str = "an earlier system"  # whoever runs it, for people
    silent_for: float | None = None  # seconds since the owner's last sign of life


class Claimant(Struct, frozen=True, kw_only=True):
    """The worker that asks: who it is, and what it holds in memory of this task."""

    worker_id: str
    worker_name: str | None = None  # for people
    redelivered: bool = False  # the broker handed this delivery out before: whoever had it is gone
    trusted: bool  # its own last renewals were on time, so it may judge the leases of others
    holds_attempt: int | None = None  # the attempt of this task that is in memory here
    holds_live_copy: bool = False  # … and its delivery is alive
    max_crashes: int = 3
    ahead: bool = False  # there is no slot for it yet
    own_process: bool = True  # it would share its handler's process with no other task


# -- what to do with a delivery ---------------------------------------------------------------------------------------


class Insert(Struct, frozen=True, kw_only=True):
    """No row yet: insert it, running or (deferred) pending."""


class Begin(Struct, frozen=True, kw_only=True):
    """Start the next attempt. `rescues`: the one before died with its worker."""

    attempt: int
    crashes: int
    rescues: bool = False
    ahead: bool = False  # the row is to say that it was claimed before there was a slot for it


class Resume(Struct, frozen=True):
    """The row says that we run this attempt, memory does not: the claim's reply was lost. Start it, write nothing."""


class Reattach(Struct, frozen=True):
    """Our attempt runs, its old delivery is dead: this one takes its place."""


class AckOnly(Struct, frozen=True):
    """This message has nothing to do for its task, which goes on, or has ended, without it. `why` is for the log."""

    why: str


class Delay(Struct, frozen=True, kw_only=True):
    """Not now: a delayed message after `delay` seconds, then ack."""

    delay: float
    elsewhere: bool = False  # the task runs in another worker …
    leaseless: bool = False  # … in an earlier system: nobody can see whether it lives


class AwaitSlot(Struct, frozen=True):
    """It may start, but is claimed only with a slot: its worker's death shall count, and only after a start."""


class AwaitOwnProcess(Struct, frozen=True):
    """It may start, but is claimed only with a process to itself, for which it waits without a slot: `isolation`."""


class Close(Struct, frozen=True, kw_only=True):
    """The task ends here, without another run."""

    status: Status
    error: str
    error_type: str
    crashes: int
    rescues: bool = False
    completes: bool = False  # the row lacks what this message says of its task


NeedsNoClaim = Reattach | AckOnly | Delay  # answers that a look at the row gives, too: no slot, no lock, no write
Reception = Insert | Begin | Resume | Reattach | AckOnly | Delay | Close | AwaitSlot | AwaitOwnProcess
