"""Puts the API into the application: its operations, and its document, for programs and for people."""

import asyncio
import json
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.bootstrap import Parts
from worker.settings.safety import read_networks
from worker.web.api.document import document
from worker.web.api.limits import Limits
from worker.web.api.operations import JSON
from worker.web.api.page import CONTENT_SECURITY_POLICY, page
from worker.web.api.serving import HEADERS, Serving, answer_problems
from worker.web.api.table import OPERATIONS

DOCUMENT_PATH = "/openapi.json"
PAGE_PATH = "/docs"


def serving_of(parts: Parts) -> Serving:
    """Who serves the operations in this process, to whom it may be."""
    limits = Limits(asyncio.get_running_loop().time)
    return Serving(parts, limits, read_networks(parts.settings.trusted_proxies or ""))


def add_routes(router: web.UrlDispatcher, serving: Serving) -> None:
    """Route every operation of the table, and the document."""
    for operation in OPERATIONS:
        serving.add(router, operation)
    text, shown = _told(serving.parts.settings.public_url)

    async def tell(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=JSON, headers=HEADERS)

    router.add_get(DOCUMENT_PATH, tell)

    async def show(_request: web.Request) -> web.Response:
        more = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=shown, content_type="text/html", headers=HEADERS | more)

    router.add_get(PAGE_PATH, show)


@lru_cache(maxsize=1)  # it takes half a second, and is the same for every application at an address
def _told(server: str | None) -> tuple[str, str]:
    told = document(OPERATIONS, server=server)
    return json.dumps(told, indent=1), page(OPERATIONS, told)


def middleware() -> Middleware:
    """For the application: problems below /v1, also for what has no route there."""

    @web.middleware
    async def tell_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            return await handler(request)
        return await answer_problems(request, handler)

    return tell_problems
