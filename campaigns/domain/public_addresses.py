"""Which addresses are public, so that a webhook cannot make us speak to our own network (SSRF). Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

_NAT64 = ip_network("64:ff9b::/96")
# Leads to the IPv4 address in its last half, on hosts that still have such a tunnel (RFC 5214).
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_COMPATIBLE = ip_network("::/96")  # IPv4-compatible, long deprecated


def is_public(address: str, allowed: Networks = ()) -> bool:
    """Whether an address is one of the Internet, or of an allowed network.

    Takes an address as a number, with or without a zone. One inside another (::ffff:, 6to4, Teredo, NAT64,
    ISATAP) is judged by the inner one: that is where the packets go.
    """
    inner = _innermost(ip_address(address.partition("%")[0]))
    if any(inner in network for network in allowed):
        return True
    return inner.is_global and not inner.is_multicast


def may_be_public(host: str, allowed: Networks = ()) -> bool:
    """Whether a host may be public: a number is judged, a name is not known before it is looked up.

    A number in one of the old forms (127.1, 0x7f000001) is none that we connect to.
    """
    try:
        return is_public(host, allowed)
    except ValueError:
        return not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2].lower())


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address))
    if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
