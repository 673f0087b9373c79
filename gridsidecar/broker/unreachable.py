"""Why no connection comes about, as the system says it, in words for people."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from asyncio import IncompleteReadError

from gridsidecar.errors import BrokerUnavailable

BROKE_OFF = (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE)
_SILENT = (
    "it did not answer in time",
    "see whether it runs, whether host and port in broker.url are right, and whether a firewall is in between",
)
_CLOSED = (
    "nothing listens there, or a firewall refuses us",
    "see whether it runs, and whether host and port in broker.url are right",
)
_ENDED = (
    "what answers there ended the connection",
    "see whether it has started, and whether host and port in broker.url are those of RabbitMQ",
)
_NO_ROUTE = ("no way leads there", "correct the host in broker.url, or see to the network of this machine")
_NO_NAME = ("no address is known for this name", "correct the host in broker.url, or enter the name in DNS")
_NO_DNS = ("the name server did not answer", "see to DNS on this machine, or name an address in broker.url")
_BY_NUMBER = {
    errno.ECONNREFUSED: _CLOSED,
    errno.ETIMEDOUT: _SILENT,
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN), _NO_ROUTE),
    **dict.fromkeys(BROKE_OFF, _ENDED),
}


def unreachable(where: str, error: BaseException) -> BrokerUnavailable | None:
    """None where the error is about something else. The client wraps that of the system."""
    for each in (error.__cause__, error):
        if (known := _known(each)) is not None:
            reason, advice = known
            return BrokerUnavailable(f"RabbitMQ at {where} cannot be reached: {reason}", advice)
    return None


def _known(error: BaseException | None) -> tuple[str, str] | None:
    match error:
        case IncompleteReadError():
            return _ENDED
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return _NO_DNS
        case socket.gaierror():
            return _NO_NAME
        case ssl.SSLError():
            return None
        case OSError(errno=int(number)):
            return _BY_NUMBER.get(number)
        case TimeoutError():
            return _SILENT
        case OSError():  # of a name with several addresses, each of which failed
            found = re.search(r"\[Errno (\d+)\]", str(error))
            return _BY_NUMBER.get(int(found[1])) if found else None
    return None
