"""What a MySQL error number means for us, decided in one place."""

from __future__ import annotations

import asyncio
from enum import StrEnum

import pymysql.err

from gridsidecar.errors import AccessRefused, GridSidecarError, StoreUnavailable
from gridsidecar.store.database import MIGRATE, RowRejected, StatementRefused

# What a server, or the way to it, does to us; RuntimeError is uvloop's word for a socket that is closed.
BROKEN = (pymysql.err.MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)


class Meaning(StrEnum):
    """What to do about a database error."""

    RETRY = "retry"  # deadlock or lock wait: run the transaction again
    GONE = "gone"  # this connection is lost: use another
    READ_ONLY = "read-only"  # a demoted primary: drop every connection, resolve the name again
    FULL = "full"  # disk or table are full: wait
    CROWDED = "crowded"  # no more connections for us: make do with those that there are
    REJECTED = "rejected"  # the values cannot be stored
    UNKNOWN = "unknown"  # the server refuses this statement, we do not know why: a trigger, say
    REFUSED = "refused"  # password, rights, missing database or table: no use in waiting


_MEANINGS = {
    Meaning.RETRY: {1205, 1213},
    Meaning.GONE: {0, 1053, 1158, 1159, 1160, 1161, 1317, 1927, 2002, 2003, 2006, 2013, 2014, 2026, 2055, 4031},
    Meaning.READ_ONLY: {1290, 1792, 1836},
    Meaning.FULL: {28, 1021, 1030, 1041, 1114},
    Meaning.CROWDED: {1040, 1203, 1226},
    Meaning.REJECTED: {1048, 1062, 1153, 1264, 1265, 1292, 1366, 1406, 1525, 3140, 3156, 3157, 3819, 4025},
    Meaning.REFUSED: {1044, 1045, 1049, 1054, 1064, 1142, 1143, 1146, 1227, 1356, 1370, 1698, 2059, 2061, 3118, 3159},
}
_OF_THE_CLIENT = range(2000, 3000)  # all others are sent by the server, which is there
MISSING = {1054, 1146}  # no such column, no such table
# Short of memory or threads, a table that was just changed, a time limit, a cluster or a proxy that cannot just now.
_NOT_NOW = (1037, 1038, 1047, 1135, 1180, 1206, 1412, 1637, 1969, 3024, 3100, 3101, 9001)
_BY_CODE = dict.fromkeys(_NOT_NOW, Meaning.GONE)
_BY_CODE |= {code: meaning for meaning, codes in _MEANINGS.items() for code in codes}


def meaning(error: BaseException) -> Meaning:
    """Classify an error of aiomysql, PyMySQL or the socket below them."""
    if not isinstance(error, pymysql.err.MySQLError):
        return Meaning.GONE  # OSError, TimeoutError, a protocol that broke off
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError):
        return Meaning.REJECTED
    if isinstance(error, pymysql.err.ProgrammingError):
        return Meaning.REFUSED
    return Meaning.UNKNOWN if code >= 1000 and code not in _OF_THE_CLIENT else Meaning.GONE


def passes(error: pymysql.err.MySQLError) -> bool:
    """Whether it comes of the moment, so that the same statement may succeed later. An unknown error does not."""
    return _BY_CODE.get(error.args[0]) not in (None, Meaning.REJECTED, Meaning.REFUSED)


def translated(error: BaseException, place: str) -> GridSidecarError | RowRejected:
    """The error in the store's words; `place` says which database."""
    text = _words(error)
    match meaning(error):
        case Meaning.REJECTED:
            return RowRejected(text)
        case Meaning.UNKNOWN:
            return StatementRefused(text)
        case Meaning.REFUSED:
            hint = MIGRATE if error.args[0] in MISSING else ""
            return AccessRefused(f"the database {place} refused: {text}{hint}")
        case Meaning.READ_ONLY:
            return StoreUnavailable(f"the database {place} is read-only: {text}")
        case Meaning.FULL:
            return StoreUnavailable(f"the database {place} is full: {text}")
        case Meaning.CROWDED:
            return StoreUnavailable(f"the database {place} allows no more connections: {text}")
        case _:
            return StoreUnavailable(f"the database {place} cannot be reached: {text}")


def _words(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "it did not answer in time"
        case RuntimeError():  # its text is about the transport's insides
            return "the connection was lost"
        case _ if len(error.args) > 1:
            return f"{error.args[1]} (error {error.args[0]})"
        case _:
            return str(error) or type(error).__name__
