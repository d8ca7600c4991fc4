"""Refuses settings that are unsafe: credentials over plain http, secrets that are easily guessed. Pure.

Each check raises ValueError: a sentence without its subject, which does not show what was typed.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

_FEWEST_DIFFERENT = 8  # characters of a secret
_MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def check_web_address(url: str, *, allows_plain_http: bool) -> None:
    """Refuse plain http to other machines, and link-local addresses (a cloud's metadata service)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is(host, "is_link_local"):
        raise ValueError("is a link-local address, where no provider is: give the provider's own")
    if parts.scheme == "http" and not is_loopback(host) and not allows_plain_http:
        raise ValueError(
            "must begin with https://: over http:// anybody on the way reads and changes what is sent. In a "
            "network that is yours alone set CAMPAIGNS_ALLOW_PLAIN_HTTP=yes"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone, by its name or its address."""
    return host in {"localhost", "localhost.localdomain"} or _is(host, "is_loopback")


def _is(host: str, what: Literal["is_loopback", "is_link_local"]) -> bool:
    try:
        found: bool = getattr(ip_address(host), what)
    except ValueError:
        return False
    return found


def check_secret(secret: str) -> None:
    """Refuse what is long enough but easily guessed, such as one letter many times."""
    if len(set(secret)) < _FEWEST_DIFFERENT:
        raise ValueError(
            f"is easily guessed: it has fewer than {_FEWEST_DIFFERENT} different characters; "
            f"make one with: {_MAKE_ONE}"
        )


def read_networks(listed: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks with commas between."""
    try:
        return [ip_network(part.strip(), strict=False) for part in listed.split(",") if part.strip()]
    except ValueError:
        raise ValueError(
            "must be addresses or networks with commas between, such as 127.0.0.1,10.0.0.0/8"
        ) from None


def read_host_names(listed: str) -> str:
    """Names of hosts with commas between, as they are compared: in small letters, without blanks."""
    names = [part.strip().lower() for part in listed.split(",") if part.strip()]
    if not names or not all(re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", name) for name in names):
        raise ValueError("must be names of hosts with commas between, without port, such as api.shop.example")
    return ",".join(names)
