"""Where requests may go: rules over a host name and all of its addresses."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(network) for network in text.split())


# Never a receiver of reports, but often a way into the machine or to the credentials of its cloud.
_ALWAYS: dict[str, tuple[IPNetwork, ...]] = {
    "a loopback address": _networks("127.0.0.0/8 ::1/128"),
    "a cloud's metadata service": _networks(
        "169.254.169.254/32 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32"
        " fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 fe80::a9fe:a9fe/128 fd00:42::42/128"
    ),
    "a link-local address": _networks("169.254.0.0/16 fe80::/10"),
    "an unspecified address": _networks("0.0.0.0/8 ::/128"),
    "a multicast address": _networks("224.0.0.0/4 ff00::/8"),
    "a broadcast or reserved address": _networks("240.0.0.0/4"),
}
_PRIVATE: dict[str, tuple[IPNetwork, ...]] = {
    "a private address": _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
    "a provider's shared address": _networks("100.64.0.0/10"),
    "an address for special purposes": _networks(
        "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24"
        " 64:ff9b:1::/48 100::/64 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 3fff::/20 5f00::/16"
    ),
}

# Networks of IPv6 whose addresses hold one of IPv4, that many bits from the right, some of them inverted.
_EMBEDDING: tuple[tuple[IPNetwork, int, int], ...] = (
    (ip_network("::/96"), 0, 0),  # compatible
    (ip_network("::ffff:0:0/96"), 0, 0),  # mapped
    (ip_network("::ffff:0:0:0/96"), 0, 0),  # translated
    (ip_network("64:ff9b::/96"), 0, 0),  # NAT64
    (ip_network("64:ff9b:1::/48"), 0, 0),  # NAT64 of a site
    (ip_network("2002::/16"), 80, 0),  # 6to4
    (ip_network("2001::/32"), 64, 0),  # Teredo: the server
    (ip_network("2001::/32"), 0, 0xFFFF_FFFF),  # Teredo: the client
)
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # in front of the IPv4 address, in any network

_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")  # the last label of what is an address, perhaps in disguise


@dataclass(frozen=True)
class EgressPolicy:
    """What may be contacted. `allow` has host names, `*.domain`, addresses and networks, and always wins."""

    allow: Sequence[str] = ()
    block_private: bool = False

    def refusal(self, host: str, addresses: Iterable[str]) -> str | None:
        """Why this host must not be contacted, and the setting that would allow it; None when it may.

        One bad address is enough: nobody knows which of them would be used.
        """
        if self._names(_plain(host)):
            return None
        for address in map(ip_address, addresses):
            why = self._fault(address)
            if why is not None:
                return _told(host, address, why)
        return None

    def _names(self, host: str) -> bool:
        return any(
            host.endswith(entry[1:]) and len(host) >= len(entry) if entry.startswith("*.") else host == entry
            for entry in self._hosts
        )

    def _fault(self, address: IPAddress) -> str | None:
        if any(address in network for network in self._allowed):
            return None
        for what, networks in self._forbidden.items():
            if any(address in network for network in networks):
                return what
        if self.block_private and _is_own(address):
            return "an address of this machine"
        for inner in _embedded(address):
            if (what_inside := self._fault(inner)) is not None:
                return f"{what_inside} ({inner}) in another form"
        return None

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(_plain(entry) for entry in self.allow)

    @cached_property
    def _allowed(self) -> tuple[IPNetwork, ...]:
        return tuple(ip_network(entry) for entry in self.allow if "/" in entry or _is_address(entry))

    @property
    def _forbidden(self) -> dict[str, tuple[IPNetwork, ...]]:
        return _ALWAYS | _PRIVATE if self.block_private else _ALWAYS


def _is_own(address: IPAddress) -> bool:
    """Whether an interface of this machine has it: nothing else can be bound to."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.bind((str(address), 0))
        except OSError:
            return False
        return True


def _told(host: str, address: IPAddress, why: str) -> str:
    is_number = ":" in host or _NUMBER.fullmatch(_plain(host).rpartition(".")[2]) is not None
    which = "that" if host == str(address) else str(address)
    entry = address if is_number else _plain(host)
    return f'{host} must not be contacted: {which} is {why}; callbacks.allow: ["{entry}"] would allow it'


def _embedded(address: IPAddress) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    for network, shift, inverted in _EMBEDDING:
        if address in network:
            yield IPv4Address((int(address) >> shift & 0xFFFF_FFFF) ^ inverted)
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
