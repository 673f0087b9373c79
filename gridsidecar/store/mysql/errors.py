"""What a MySQL error number means for us, decided in one place."""

from __future__ import annotations

import asyncio
import re
import ssl
from enum import StrEnum

import pymysql.err

from gridsidecar.errors import AccessRefused, GridSidecarError, StoreUnavailable
from gridsidecar.store.database import MIGRATE, RowRejected, TransientRejection
from gridsidecar.store.mysql.advice import ADVICE

# What a server, or the way to it, does to us; RuntimeError is uvloop's word for a socket that is closed.
BROKEN = (pymysql.err.MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)


class Meaning(StrEnum):
    """What to do about a database error."""

    RETRY = "retry"  # deadlock or lock wait: run the transaction again
    GONE = "gone"  # this connection is lost: use another
    READ_ONLY = "read-only"  # a demoted primary: drop every connection, resolve the name again
    FULL = "full"  # disk or table are full: wait
    AILING = "ailing"  # the server's own files or memory fail it: wait
    CROWDED = "crowded"  # no more connections for us: make do with those that there are
    REJECTED = "rejected"  # the values cannot be stored
    UNKNOWN = "unknown"  # the server refuses this statement, we do not know why: a trigger, say
    REFUSED = "refused"  # password, rights, missing database or table: no use in waiting


_MEANINGS = {
    Meaning.RETRY: {1205, 1213, 1412, 1614, 3101},
    # Starting, stopping, out of memory or threads, a node of a cluster that is not in step; 9001 – 9007 are of proxies
    # and of TiDB, whose own servers are away.
    Meaning.GONE: {0, 1037, 1038, 1042, 1043, 1047, 1053, 1077, 1079, 1080, 1135, 1152, 1158, 1159, 1160, 1161, 1180}
    | {
        1184,
        1317,
        1637,
        1927,
        1969,
        2002,
        2003,
        2006,
        2013,
        2014,
        2026,
        2055,
        3024,
        3032,
        3100,
        3168,
        3169,
        4031,
        *range(9001, 9008),
    },
    Meaning.READ_ONLY: {1290, 1792, 1836},
    Meaning.FULL: {28, 1021, 1030, 1041, 1114, 1206},
    Meaning.CROWDED: {1040, 1203, 1226},
    Meaning.REJECTED: {1048, 1062, 1153, 1264, 1265, 1292, 1366, 1406, 1525, 3140, 3156, 3157, 3819, 4025},
    Meaning.REFUSED: {*ADVICE, 1054, 1064, 1146, 1356},
}
_OF_TABLES = {1142, 1143, 1146, 1356}  # each names one
# Of routines and rights that no statement of ours asks for, and of a login, which is behind a statement.
_OF_OTHERS = {1305, 1370, 1449, 1227, 1044, 1045, 1129, 1130, 1131, 1698, 1873}
MISSING = {1054, 1146}  # no such column, no such table
_BY_CODE = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes}
_OF_THE_MACHINE = range(1, 1000)  # what a server's files and its memory say to it
_OF_THE_CLIENT = range(2000, 3000)  # a client's own, nearly all of them for a connection that broke


class TablesMissing(AccessRefused):
    """A table or a column of ours is not there. It may be in the making; or a trigger misses one of its own."""

    def __init__(self, found: str, advice: str, words: str) -> None:
        super().__init__(found, advice)
        self.words = words


def meaning(error: BaseException) -> Meaning:
    """Classify an error of aiomysql, PyMySQL or the socket below them."""
    if not isinstance(error, pymysql.err.MySQLError):
        return Meaning.GONE  # OSError, TimeoutError, a protocol that broke off
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    known = _known(code)
    if known is not None:
        return known
    if isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError):
        return Meaning.REJECTED
    if isinstance(error, pymysql.err.ProgrammingError):
        return Meaning.REFUSED
    return Meaning.GONE if code in _OF_THE_CLIENT else Meaning.UNKNOWN


def _known(code: int) -> Meaning | None:
    return _BY_CODE.get(code, Meaning.AILING if code in _OF_THE_MACHINE else None)


def passes(error: pymysql.err.MySQLError) -> bool:
    """Whether it comes of the moment, so that the same statement may succeed later. An unknown error does not."""
    return _known(error.args[0]) not in (None, Meaning.REJECTED, Meaning.REFUSED)


def refusal(error: BaseException, place: str) -> AccessRefused | None:
    """What a server says to a login or to a migration is a refusal, unless it passes; None where it does.

    No task is in it, so that a number that nobody knows is about us, too.
    """
    untrusted = error.__cause__ if isinstance(error, pymysql.err.MySQLError) else error
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return AccessRefused(
            f"the database {place} shows a certificate that is not trusted: {untrusted.verify_message}",
            "name its authority by ssl_ca in store.url, or the host as the certificate does",
        )
    if not isinstance(error, pymysql.err.MySQLError):
        return None
    code = error.args[0] if error.args else 0
    if isinstance(code, int):
        refused = bool(error.args) and not passes(error) and (code in _BY_CODE or code not in _OF_THE_CLIENT)
    else:  # the client does not understand how it is to log in; others are a stream out of step, or at its end
        refused = isinstance(error, pymysql.err.OperationalError)
    return _refused(error, place) if refused else None


def _is_about_others(error: BaseException, ours: frozenset[str]) -> bool:
    """Whether it comes of what a trigger does, for some rows perhaps: with a table or a routine that is not ours."""
    code, text = error.args[0], str(error.args[-1])
    return code in _OF_OTHERS or (code in _OF_TABLES and not ours & set(re.split(r"\W+", text)))


def _refused(error: BaseException, place: str) -> AccessRefused:
    code = error.args[0] if error.args else 0
    missing = code in MISSING
    advice = MIGRATE.removeprefix("; ") if missing else ADVICE.get(code, "")
    told = f"the database {place} refused: {words(error)}"
    return TablesMissing(told, advice, words(error)) if missing else AccessRefused(told, advice)


def as_ours(error: BaseException, place: str, ours: frozenset[str]) -> GridSidecarError | RowRejected:
    """The error in the store's words; `place` says which database, `ours` the names of our tables."""
    text = words(error)
    match meaning(error):
        case Meaning.REJECTED:
            return RowRejected(text)
        case Meaning.UNKNOWN:
            return TransientRejection(text)
        case Meaning.REFUSED:
            return TransientRejection(text) if _is_about_others(error, ours) else _refused(error, place)
        case Meaning.READ_ONLY:
            return StoreUnavailable(f"the database {place} is read-only: {text}")
        case Meaning.FULL:
            return StoreUnavailable(f"the database {place} is full: {text}")
        case Meaning.AILING:
            return StoreUnavailable(f"the database {place} cannot do its work: {text}")
        case Meaning.CROWDED:
            return StoreUnavailable(f"the database {place} allows no more connections: {text}")
        case _:
            return StoreUnavailable(f"the database {place} cannot be reached: {text}")


def words(error: BaseException) -> str:
    """What it says, for people."""
    match error:
        case TimeoutError():
            return "it did not answer in time"
        case RuntimeError():  # its text is about the transport's insides
            return "the connection was lost"
        case _ if len(error.args) > 1:
            return f"{error.args[1]} (error {error.args[0]})"
        case _:
            return str(error) or type(error).__name__
