"""gridsidecar: any command as the worker of a task queue.

The path of one task, in the order of the files:

    broker/      a message arrives as a Delivery
    consumer     carries it: decodes it (wire) and takes it through the rest
    admission    a slot for it (slots), and a claim of its row (store), which also finds duplicates: a value
    attempt      waits for the slot, handler.run, frees the slot, lifecycle.decide, the commit, and tells of it
    handler/     the user's command as a child process
    store/       one fenced commit, called by the attempt
    settlement   a delayed message (broker) if there is a next time, then the ack

What can never run leaves by `dead_lettering`, what the database refuses by `row_rejections`.

The commit also writes down the callback that is owed (store/outbox); `callbacks` sends it, apart from all this. What
happened to a task is one value, `TaskUpdate`, that `environment` passes to those who want to hear of it: `callbacks`,
`notify`, `hooks` and `statistics`, which do not know each other.

`lifecycle` says what a delivery, an end or a lost reply means: `receive` for the store's claim, `decide` for the
attempt, `resolve_unmatched_write` for the store's commit; `returned` serves the clock; `steering` says what
a cancel or a retry by hand does to a row. Both are pure.

`daemon` builds and stops all of it, `maintenance` holds the lease and brings back what got lost, `worker` is what this
process holds in memory, under the leases of its `identity`. `shutdown` has the phases in which a run ends. With several
processes a `supervisor` starts them, each with a daemon, and decides what concerns all of them; `supervisor_link` is
what they say to each other. `task` has the values, `wire` the formats, `config` the settings, `telemetry` the log.
"""

__version__ = "0.2.0"
