"""What SHOW GRANTS says that a user may do with our tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

RUN = ("SELECT", "INSERT", "UPDATE", "DELETE")
MIGRATE = ("CREATE", "ALTER", "INDEX", "DROP", "CREATE VIEW")
_GRANT = re.compile(
    r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<database>`(?:[^`]|``)+`|\*|\w+)\.(?P<table>`(?:[^`]|``)+`|\*|\w+) TO ",
    re.I,
)
_ROLE = re.compile(r"GRANT (?:`|'|\"|\w)[^()]*? TO ", re.I)


class Missing(Struct, frozen=True):
    """Rights that no grant gives; `roles`: a role may give them, and its rights are not listed."""

    run: tuple[str, ...]
    migrate: tuple[str, ...]
    roles: bool


def missing(grants: Sequence[str], database: str, tables: Iterable[str]) -> Missing:
    """A right counts where it is there for every one of the tables."""
    held = [_rights(grants, database, table) for table in tables]

    def lacking(wanted: Sequence[str]) -> tuple[str, ...]:
        return tuple(right for right in wanted if not all(right in each for each in held))

    roles = any(" ON " not in grant and _ROLE.match(grant) for grant in grants)
    return Missing(lacking(RUN), lacking(MIGRATE), roles)


def _rights(grants: Sequence[str], database: str, table: str) -> set[str]:
    found: set[str] = set()
    for grant in grants:
        match = _GRANT.match(grant)
        if match is None or not (_covers(match["database"], database) and _is(match["table"], table)):
            continue
        rights = {right.strip().upper() for right in re.sub(r"\([^)]*\)", "(…)", match["rights"]).split(",")}
        found |= {*RUN, *MIGRATE} if rights & {"ALL PRIVILEGES", "ALL"} else rights
    return found


def _is(written: str, table: str) -> bool:
    return written == "*" or _plain(written).lower() == table.lower()


def _covers(written: str, database: str) -> bool:
    """A grant on a database is for a pattern: % is any text, _ any character, \\_ the character itself."""
    if written == "*":
        return True
    parts = re.split(r"(\\.|%|_)", _plain(written))
    pattern = "".join({"%": ".*", "_": "."}.get(part, re.escape(part.removeprefix("\\"))) for part in parts)
    return re.fullmatch(pattern, database, re.I) is not None


def _plain(written: str) -> str:
    return written.strip("`").replace("``", "`")
