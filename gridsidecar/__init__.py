"""gridsidecar: any command as the worker of a task queue.

The path of one task, in the order of the files:

    broker/      a message arrives as a Delivery
    consumer     decodes it (wire), claims its row (store), settles it at the end
    lifecycle    says what a delivery, an end or a clock tick means; pure
    executor     one attempt: handler.run → lifecycle.decide
    handler/     the user's command as a child process
    store/       one fenced commit
    broker/      an alarm if there is a next time, then the ack

`daemon` builds and stops all of it, `maintenance` holds the lease and brings back what got lost, `worker` is what this
process holds in memory. `task` has the values, `wire` the formats, `config` the settings, `telemetry` the log.
"""

__version__ = "0.1.0"
