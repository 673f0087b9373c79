"""The rules for addresses, against tables and against the standard library's own idea of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.outbound import EgressPolicy

OPEN = EgressPolicy()
STRICT = EgressPolicy(block_private=True)

ALWAYS_REFUSED = """
    0.0.0.0 0.0.0.1 0.255.255.255 127.0.0.1 127.0.0.2 127.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255
    100.100.100.200 168.63.129.16 192.0.0.192
    :: ::1 fe80:: fe80::1 fe80::a9fe:a9fe fe80::1%eth0 febf:ffff::1 ff00:: ff02::1 ffff::1
    fd00:ec2::254 fd20:ce::254 fd00:c1::a9fe:a9fe
"""

PRIVATE = """
    10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0 100.127.255.255
    192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1
    fc00:: fd00::1 fdff:ffff::1 fec0::1 feff::1 64:ff9b:1::808:808 100::1 2001:2::1 2001:db8::1 3fff::1 5f00::1
"""

PUBLIC = """
    1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 223.255.255.255
    2606:4700:4700::1111 2001:4860:4860::8888 2a00::1
    ::ffff:8.8.8.8 ::8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1
"""

# Ways to write an IPv4 address into one of IPv6.
FORMS: dict[str, Callable[[int], int]] = {
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "compatible": lambda v4: v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: int(IPv6Address("64:ff9b::")) | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo server": lambda v4: 0x2001_0000 << 96 | v4 << 64 | (0x0808_0808 ^ 0xFFFF_FFFF),
    "Teredo client": lambda v4: 0x2001_0000 << 96 | 0x0808_0808 << 64 | (v4 ^ 0xFFFF_FFFF),
    "ISATAP": lambda v4: int(IPv6Address("2a00:1:2:3:0:5efe::")) | v4,
    "ISATAP, unique": lambda v4: int(IPv6Address("2a00:1:2:3:200:5efe::")) | v4,
}

v4_addresses = st.ip_addresses(v=4)
forms = st.sampled_from(list(FORMS.values()))


def refused(targets: EgressPolicy, *addresses: object) -> bool:
    return targets.refusal("somewhere.example", [str(address) for address in addresses]) is not None


@pytest.mark.parametrize("address", ALWAYS_REFUSED.split())
def test_always_refused(address: str) -> None:
    assert refused(OPEN, address)
    assert refused(STRICT, address)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_refused_when_private_is(address: str) -> None:
    assert not refused(OPEN, address)
    assert refused(STRICT, address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert not refused(STRICT, address)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_address_within_an_address_is_judged_too(form: Callable[[int], int]) -> None:
    for inner in ("127.0.0.1", "169.254.169.254", "100.100.100.200"):
        assert refused(OPEN, IPv6Address(form(int(IPv4Address(inner)))))
    outer = IPv6Address(form(int(IPv4Address("10.1.2.3"))))
    assert not refused(OPEN, outer)
    assert refused(STRICT, outer)
    assert not refused(EgressPolicy(["10.0.0.0/8"], block_private=True), outer)
    assert not refused(STRICT, IPv6Address(form(int(IPv4Address("8.8.8.8")))))


@given(v4_addresses, forms)
def test_every_form_has_the_verdict_of_what_is_in_it(address: IPv4Address, form: Callable[[int], int]) -> None:
    outer = IPv6Address(form(int(address)))
    for targets in (OPEN, STRICT):
        if outer not in ip_network("::/127"):  # these are more than a form of 0.0.0.0 and 0.0.0.1
            assert refused(targets, outer) == refused(targets, address)


@given(v4_addresses)
def test_the_standard_library_agrees_about_ipv4(address: IPv4Address) -> None:
    dangerous = address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved
    if dangerous or address.is_unspecified:
        assert refused(OPEN, address)
    if address.is_private or address.is_multicast or not address.is_global:
        assert refused(STRICT, address)
    special = ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")  # reachable, but not for reports
    if address.is_global and not dangerous and not any(address in ip_network(network) for network in special):
        assert not refused(STRICT, address)


@given(st.ip_addresses(v=6))
def test_the_standard_library_agrees_about_ipv6(address: IPv6Address) -> None:
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert refused(OPEN, address)
    if address.is_site_local or address in ip_network("fc00::/7") or address in ip_network("2001:db8::/32"):
        assert refused(STRICT, address)


@given(st.ip_addresses(), st.integers(0, 32))
def test_an_allowed_network_always_wins(address: IPv4Address | IPv6Address, bits: int) -> None:
    network = ip_network(f"{address}/{bits}", strict=False)
    assert not refused(EgressPolicy([str(network)], block_private=True), address)
    assert not refused(EgressPolicy([str(address)], block_private=True), address)


@given(st.lists(st.ip_addresses(), min_size=1, max_size=6))
def test_every_address_must_pass(addresses: list[IPv4Address | IPv6Address]) -> None:
    for targets in (OPEN, STRICT):
        assert refused(targets, *addresses) == any(refused(targets, address) for address in addresses)


@pytest.mark.parametrize(
    ("entry", "host", "passes"),
    [
        ("hooks.internal", "hooks.internal", True),
        ("Hooks.Internal", "hOOKS.iNTERNAL", True),
        ("hooks.internal", "hooks.internal.", True),
        ("hooks.internal.", "hooks.internal", True),
        ("hooks.internal", "x.hooks.internal", False),
        ("hooks.internal", "hooks.internal.evil.example", False),
        ("hooks.internal", "evilhooks.internal", False),
        ("*.internal", "a.internal", True),
        ("*.internal", "a.b.INTERNAL.", True),
        ("*.internal", "internal", False),
        ("*.internal", ".internal", False),
        ("*.internal", "ainternal", False),
        ("*.internal", "a.internal.evil.example", False),
        ("127.0.0.1", "anything.example", True),
        ("127.0.0.0/8", "anything.example", True),
        ("0.0.0.0/0", "anything.example", True),
        ("::ffff:127.0.0.1", "anything.example", False),
        ("128.0.0.0/8", "anything.example", False),
        ("::1", "anything.example", False),
    ],
)
def test_what_the_setting_allows(entry: str, host: str, passes: bool) -> None:
    targets = EgressPolicy(["unrelated.example", entry], block_private=True)
    assert (targets.refusal(host, ["127.0.0.1"]) is None) == passes


@pytest.mark.parametrize(
    ("host", "address", "told"),
    [
        (
            "Db.Internal.",
            "127.0.0.1",
            'Db.Internal. must not be contacted: 127.0.0.1 is a loopback address; callbacks.allow: ["db.internal"]'
            " would allow it",
        ),
        (
            "10.1.2.3",
            "10.1.2.3",
            '10.1.2.3 must not be contacted: that is a private address; callbacks.allow: ["10.1.2.3"] would allow it',
        ),
        (
            "2130706433",
            "127.0.0.1",
            '2130706433 must not be contacted: 127.0.0.1 is a loopback address; callbacks.allow: ["127.0.0.1"]'
            " would allow it",
        ),
        (
            "v6.example",
            "64:ff9b::a9fe:a9fe",
            "v6.example must not be contacted: 64:ff9b::a9fe:a9fe is a cloud's metadata service (169.254.169.254)"
            ' in another form; callbacks.allow: ["v6.example"] would allow it',
        ),
    ],
)
def test_the_refusal_says_what_would_allow_it(host: str, address: str, told: str) -> None:
    assert STRICT.refusal(host, ["8.8.8.8", address]) == told
    entry = told.split('["')[1].split('"]')[0]
    assert EgressPolicy([entry], block_private=True).refusal(host, [address]) is None


OWN = """
ip link set lo up && ip address add 8.8.4.4/32 dev lo && ip address add 2600:1::7/128 dev lo nodad && exec "$@"
"""
ASK = """
from gridsidecar.outbound import EgressPolicy
for address in ("8.8.4.4", "2600:1::7", "::ffff:8.8.4.4", "8.8.8.8", "2600:1::8"):
    print([EgressPolicy(block_private=strict).refusal("h.example", [address]) is not None for strict in (True, False)])
"""


def test_addresses_of_this_machine_are_refused_where_private_ones_are() -> None:
    """In a network of its own, with public addresses."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs root, unshare and ip")
    command = ["unshare", "--net", "sh", "-ec", OWN, "sh", sys.executable, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[True, False]"] * 3 + ["[False, False]"] * 2
