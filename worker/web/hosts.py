"""Under which names the API answers. A page of anybody's may have its own name lead to this machine (DNS
rebinding), and would then be no stranger to its browser: a name that is not ours is answered 421.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from worker.settings.model import Settings
from worker.web.api.problems import Kind, Refused
from worker.web.api.serving import HEADERS

_FOR_ANY_NAME = ("/callbacks/", "/health", "/livez", "/readyz")
"""Beginnings of paths that tell a page nothing: providers, probes and balancers ask by any name."""

_DETAIL = "ask by an address, by localhost, or by a name that CAMPAIGNS_API_HOSTS lists"


def names_of(settings: Settings, *, is_behind_proxy: bool) -> frozenset[str] | None:
    """The names that are ours beside localhost and every address (which nobody can have lead elsewhere).

    None: any name. Behind a proxy it is the proxy that says by its configuration which names it has, unless
    ours are set.
    """
    if settings.api_hosts is None and is_behind_proxy:
        return None
    public = urlsplit(settings.public_url or "").hostname
    return frozenset({"localhost", *(settings.api_hosts or "").split(","), *([public] if public else [])})


def middleware(names: frozenset[str]) -> Middleware:
    """For the application: refuses what was asked for under another name, before anything else is read."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_FOR_ANY_NAME) or _is_ours(request.headers.get(hdrs.HOST, ""), names):
            return await handler(request)
        refused = Refused(Kind.MISDIRECTED, _DETAIL).response()
        refused.headers.update(HEADERS)
        return refused

    return look


def _is_ours(host: str, names: frozenset[str]) -> bool:
    name, closed, _ = host[1:].partition("]") if host.startswith("[") else (host.partition(":")[0], "]", "")
    try:
        ip_address(name if closed else "")
    except ValueError:
        return name != "" and name.lower().rstrip(".") in names
    return True
