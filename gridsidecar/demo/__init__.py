"""`gridsidecar demo`: a queue, a sidecar and a handful of tasks in a temporary folder."""
