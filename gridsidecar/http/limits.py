"""How much a server takes on at a time."""

from __future__ import annotations

import resource

MOST_CONNECTIONS = 1200  # at a time; with more, those that nothing is written on are closed
LEAST_CONNECTIONS = 16
FILES_OF_TASKS = 256  # files that are left to the rest of this process
HEADER_LIMIT = 32 * 1024  # bytes of path, query and headers


def most_connections() -> int:
    """How many this process may have open: tasks need files, too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(LEAST_CONNECTIONS, min(MOST_CONNECTIONS, (files - FILES_OF_TASKS) // 2))


def most_streams() -> int:
    """How many of these may be event streams: a probe must find a connection, too."""
    return most_connections() * 5 // 6
