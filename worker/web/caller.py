"""The address of a request's caller: the one that connected, or the one that a trusted proxy names."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

Network = IPv4Network | IPv6Network


def caller_of(request: web.BaseRequest, trusted: Iterable[Network]) -> str:
    """The caller's address, for a log.

    Takes the networks of our own proxies. Only the last entries of X-Forwarded-For, which they wrote, are
    believed: the client may have sent the others. Gives "unknown" if there is no address.
    """
    networks = list(trusted)
    address = request.remote or ""
    said = [part.strip() for part in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    said = [part for part in said if part]
    while said and _is_in(address, networks):
        address = said.pop()
    try:
        return str(ip_address(address))
    except ValueError:  # a socket without one, or a proxy that writes something else
        return "unknown"


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks if network.version == parsed.version)
