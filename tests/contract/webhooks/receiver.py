"""A receiver of webhooks over real HTTP on loopback, which verifies with the library that others use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The event, if it was signed by `secret`. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answers as the test says, 200 unless told otherwise."""

    port: int = 0
    seen: list[Received] = field(default_factory=list)
    answer: Callable[[], web.StreamResponse] = web.Response
    before: Callable[[Received], Awaitable[None]] | None = None  # awaited before the answer
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def events(self, secret: str) -> list[Any]:
        """What came, in order, verified."""
        return [each.verified(secret) for each in self.seen]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.rel_url.raw_path_qs, headers, await request.text())
        self.seen.append(received)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.before is not None:
                await self.before(received)
        finally:
            self.at_once -= 1
        return self.answer()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver that listens on loopback until the end of the block."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver._take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        assert site._server is not None
        assert isinstance(site._server, asyncio.Server)
        receiver.port = site._server.sockets[0].getsockname()[1]
        yield receiver
    finally:
        await runner.cleanup()
