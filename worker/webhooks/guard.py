"""Keeps requests to webhooks out of our own network (SSRF).

The address is judged at the moment of connecting, whatever name led to it: between that look and the
connection there is nothing that a name could change (DNS rebinding). Looking a name up first and connecting
by it after would leave that gap.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from campaigns.domain.public_addresses import Networks, is_public
from campaigns.domain.webhooks import EndpointRefused

_LOOK_UP_SECONDS = 5.0  # for the name of a new webhook


class NotPublic(OSError):
    """The address that was about to be connected to is not public."""


def guard(allowed: Networks) -> Callable[[Any], socket.socket]:
    """What makes the sockets of a connector: none for an address that is neither public nor in `allowed`.

    aiohttp calls it with each address that it is about to connect to, also with one that came as a number,
    for which no resolver is asked. Raises NotPublic before the socket is made.
    """

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_public(address[0], allowed):
            raise NotPublic("the address is not public")
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def connector(
    allowed: Networks, *, most: int, resolver: AbstractResolver | None = None
) -> aiohttp.TCPConnector:
    """A connector that reaches public addresses and those in `allowed`, `most` at once.

    Each request has a connection of its own, so that each passes the guard. `resolver` is for tests.
    """
    return aiohttp.TCPConnector(
        socket_factory=guard(allowed),
        force_close=True,
        limit=most,
        use_dns_cache=False,
        resolver=resolver,
    )


async def check_name(url: str, allowed: Networks) -> None:
    """Look up the host of a new webhook. Raises EndpointRefused where it is unknown or leads to us.

    For the sentence only: each attempt is judged again where it connects.
    """
    host = urlsplit(url).hostname or ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # also out of time, and a label that no name may have
        raise EndpointRefused("the name in the address is not known: nothing could be delivered") from None
    if not all(is_public(str(address[0]), allowed) for *_, address in found):
        raise EndpointRefused(
            "the name in the address leads into a network that is not public; name that network in "
            "CAMPAIGNS_WEBHOOK_ALLOW if it is meant"
        )
