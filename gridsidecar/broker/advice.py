"""What to do about a refusal, by the words of the server. Pure."""

from __future__ import annotations

import re

_ADVICE = tuple(
    (re.compile(words, re.DOTALL), advice)
    for words, advice in (
        (r"queue limit in vhost", "raise max-queues of the virtual host, or delete queues that nobody needs"),
        (r"queue limit in cluster", "raise cluster_queue_limit of the broker, or delete queues that nobody needs"),
        (
            r"(connection|node|tracked) .*limit .*is reached",
            "raise that limit, or close connections that nobody needs: each process of a worker has two",
        ),
        (r"number of channels", "raise the limit of channels: a worker needs up to four on each of its connections"),
        (r"vhost .* not found", "correct the path of broker.url, or create the virtual host"),
        (r"vhost .* is down", "restart the virtual host: the broker's log says what happened to it"),
        (r"access to vhost .* refused", "give the user permissions in the virtual host, or correct broker.url"),
        (r"Login was refused|user '.*' can only connect", "check user and password in broker.url"),
        (r"in exclusive use", "another consumer has it to itself: end that one, or let it consume without exclusive"),
        (
            r"exclusive access to locked queue",
            "it is exclusive to another connection: declare it without exclusive, or name another queue",
        ),
        (
            r"access to (queue|exchange|topic) .* refused",
            "give the user the right (configure, write and read), or create the queue for it",
        ),
    )
)


def advice(error: object, otherwise: str = "") -> str:
    """What to do about it, `otherwise` where we do not know these words."""
    told = str(error)
    return next((known for pattern, known in _ADVICE if pattern.search(told)), otherwise)


def words(error: object) -> str:
    """The server's."""
    return str(error).removesuffix(".")
