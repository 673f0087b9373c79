"""`worker.processes` above 1: one process that only looks after others, each of them a sidecar with a part of the work.

It stays small: no settings' models, no client of any server. What needs those it starts as a process of its own,
but for the HTTP API: that answers for all processes, so where `http.listen` is set it is served here.
"""
