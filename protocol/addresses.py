"""Which network addresses a URL of a client may lead to.

Nothing of the wire, but in this room because both halves follow URLs of clients, the worker to
fetch inputs and the supervisor to call webhooks, and both may import only this one. Addresses alone
are judged: whoever follows a URL resolves its name once, asks here for every address, and connects
to one of those that were asked for. So neither a redirect nor a second answer of the name server
leads anywhere else. (`addresses_in` reads what is an address already, and asks no name server.)
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

__all__ = ["addresses_in", "is_host", "refused_kind"]

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""Names, and addresses of both kinds. No escapes, which a proxy might take out again."""

_METADATA: Final = tuple(
    ip_network(each)
    for each in (
        "fd00:ec2::/32",  # Amazon: metadata, credentials of pods, name servers
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle
    )
)
"""Where clouds hand out credentials at addresses that are not link-local.

Amazon's and Google's are unique-local, but not of those that a network of one's own has: RFC 4193
wants 40 random bits in their prefix.
"""

_SHARED: Final = ip_network("100.64.0.0/10")
"""What carriers and clusters share among their customers (RFC 6598)."""

_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
"""IPv6 addresses that stand for the IPv4 address in their last 32 bits (RFC 6052, RFC 8215)."""


def is_host(host: str) -> bool:
    """Whether `host`, in lower case as httpx's `raw_host`, is a name or an address."""
    return _HOST.fullmatch(host) is not None


def addresses_in(host: str) -> list[str]:
    """The address that `host` is, in any of the spellings that a resolver knows; none of a name."""
    try:
        found = socket.getaddrinfo(host.rstrip("."), None, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []
    return [str(target[0]) for *_, target in found]


def refused_kind(address: str, *, deny_private: bool) -> str | None:
    """What kind of address this is, if no client may make us connect to it; None: one may.

    Link-local addresses and those of cloud metadata are always refused; an IPv6 address that stands
    for an IPv4 address is what that one is.

    Args:
        address: in the text form of `getaddrinfo`.
        deny_private: whether all is refused that is not of the public internet: loopback, private,
            shared, multicast, reserved addresses.

    Raises:
        ValueError: it is not an address.
    """
    meant = _meant(ip_address(address))
    kinds = [_dangerous(each) for each in meant]
    if deny_private:
        kinds += [_not_public(each) for each in meant]
    return next((kind for kind in kinds if kind is not None), None)


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The addresses that packets to `address` may reach."""
    if isinstance(address, IPv4Address):
        return [address]
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or any(address in network for network in _NAT64):
        return [last]  # in itself neither private nor public
    meant: list[IPv4Address | IPv6Address] = [address]
    if address.sixtofour is not None:
        meant.append(address.sixtofour)
    if address.teredo is not None:
        meant += address.teredo
    if int(address) >> 32 == 0 and int(last) > 1:  # IPv4-compatible; neither :: nor ::1
        meant.append(last)
    return meant


def _dangerous(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_link_local:
        return "link-local"
    if any(address in network for network in _METADATA):
        return "cloud metadata"
    return None


def _not_public(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified:
        return "unspecified"  # Linux takes it for loopback
    if address.is_multicast:
        return "multicast"
    if address in _SHARED:
        return "shared"
    if address.is_reserved:
        return "reserved"
    if address.is_private or (isinstance(address, IPv6Address) and address.is_site_local):
        return "private"
    return None if address.is_global else "reserved"
