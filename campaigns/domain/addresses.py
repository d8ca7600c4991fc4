"""The addresses of web services, as an operator writes them. Pure; no sentence shows what was typed."""

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

CANNOT_BE_READ = "cannot be read: in a user or password write / as %2F, ? as %3F, # as %23 and @ as %40"
ONE_HOST = (
    "must name one host: put one name or a proxy (HAProxy) before several, that leads to the primary; "
    "see docs/operating.md"
)


def split(url: str) -> SplitResult:
    """The parts of `url`. Raises ValueError that shows none of them."""
    authority, *rest = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)
    if "," in authority.rpartition("@")[2] and "@" not in "".join(rest):  # else it is a bare password's
        raise ValueError(ONE_HOST)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(CANNOT_BE_READ) from None
    if "@" in f"{parts.path}{parts.query}" or parts.fragment or re.search(r"\s", url):
        raise ValueError(CANNOT_BE_READ)
    return parts


def web_address(url: str) -> str:
    """`url` as everything else can be put behind it: http or https, a host, no user, no ?, no / at its end.

    Raises ValueError, a sentence without its subject that shows nothing of the address.
    """
    parts = split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query:
        raise ValueError("must be an address alone, without a user and without ?")
    return url.rstrip("/")


def address_before(path: str, *, ends: str) -> Callable[[str], str]:
    """A check for the address before `path`; `ends`: the parts of `path` one types too much."""

    def check(url: str) -> str:
        sentence = f"must be only what stands before {path}, without a user and without ?"
        parts = split(url)
        if parts.hostname and ("@" in parts.netloc or parts.query or re.search(ends, parts.path.rstrip("/"))):
            raise ValueError(sentence)
        return web_address(url)

    return check
