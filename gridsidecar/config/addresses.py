"""Addresses that tasks name: what is one, and which of them a notice may go to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

LONGEST = 254  # characters, as mail servers have it

# No quotes, comments, names or lists, none of the characters by which old servers pass a mail on, and no `?`: of an
# encoded word as =?utf-8?q?a=2Cb?= whoever reads a header makes any text at all.
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)


class MailAddress(Struct, frozen=True):
    """One mailbox; the domain in ASCII and small letters."""

    local: str
    domain: str

    @classmethod
    def read(cls, text: str) -> MailAddress:
        """ValueError, in words, for what is no single plain address."""
        local, at, domain = text.strip(" ").rpartition("@")
        if len(text) > LONGEST or not at or not _LOCAL.fullmatch(local) or len(local) > 64:
            raise ValueError("it is no single plain address such as name@example.org")
        return cls(local, domain_name(domain))

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def domain_name(text: str) -> str:
    """As mail servers compare it. ValueError for what is none."""
    try:
        name = text.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise ValueError("its domain is no host name")
    return name


class Allowed(Struct, frozen=True):
    """The entries of `allow_to`: a domain, `*.domain` for all below it, or one address."""

    domains: frozenset[str]
    above: tuple[str, ...]  # with a dot in front
    addresses: frozenset[MailAddress]

    @classmethod
    def read(cls, entries: Iterable[str]) -> Allowed:
        """ValueError for an entry that is none of these."""
        domains, above, addresses = set(), [], set()
        for entry in entries:
            if "@" in entry:
                addresses.add(MailAddress.read(entry))
            elif entry.startswith("*."):
                above.append("." + domain_name(entry[2:]))
            else:
                domains.add(domain_name(entry))
        return cls(frozenset(domains), tuple(above), frozenset(addresses))

    def takes(self, address: MailAddress) -> bool:
        return address.domain in self.domains or address.domain.endswith(self.above) or address in self.addresses
