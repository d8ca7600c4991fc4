"""The web over real HTTP: a server on a free port, a stub provider behind it, a write that remembers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Callback, Receipt
from campaigns.late import LateAnswers
from campaigns.store.session import Database
from tests.conftest import POLICY, no_wait
from tests.stub import Stub
from worker.bootstrap import Parts
from worker.settings.model import Settings
from worker.spool import Spool
from worker.web.inbox import Taken
from worker.web.server import serve
from worker.webhooks.delivering import Deliverer
from worker.webhooks.requests import Requests

PUBLIC_URL = "https://sms.shop.test/campaigns"
SECRET = "a-secret-of-our-own"
SETTINGS = {"provider": "seven", "api_key": "k" * 20, "sender_id": "Demo"}
"""Of each account, where settings are asked; a stub does its work."""
URLS = CallbackUrls("main", PUBLIC_URL, SECRET)


class Listening(Stub):
    """A stub that keeps the callbacks it is given, and breaks down when it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.heard: list[Callback] = []
        self.error: Exception | None = None

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """As the stub does; `state` may come twice, for two receipts."""
        self.heard.append(callback)
        if self.error is not None:
            raise self.error
        states = [value for name, value in callback.query if name == "state"]
        if len(states) < 2:
            return super().read_callback(callback)
        said = dict(callback.query)
        return [Receipt(said.get("id"), None, state, said.get("ref")) for state in states]


@dataclass
class Book:
    """What was stored; a write waits while the gate is closed, and fails with `error`."""

    stored: list[Taken] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    begun: int = 0
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def write(self, taken: Sequence[Taken]) -> None:
        """Stands where `campaigns.receipts.take_in_many` stands in a real process."""
        self.begun += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.stored += taken
        self.sizes.append(len(taken))


@dataclass
class Web:
    """A served web, and whoever speaks to it."""

    url: str
    stub: Listening
    book: Book
    client: aiohttp.ClientSession
    server: "asyncio.Task[None]"

    def path(self, public: str) -> str:
        """The address here of a public one."""
        return self.url + public.removeprefix(PUBLIC_URL)

    async def raw(self, request: bytes) -> bytes:
        """Any bytes, and all that is answered until the far side closes."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    async def end(self) -> None:
        """As SIGTERM ends it."""
        self.server.cancel()
        await asyncio.wait([self.server])


@asynccontextmanager
async def web_of(
    database: Database,
    redis: Redis,
    host: str = "127.0.0.1",
    settings: Mapping[str, Any] = MappingProxyType({}),
    **more: Any,
) -> AsyncIterator[Web]:
    """Serve the account `main`, which calls back, and `silent`, which does not. `more`: `serve`'s own."""
    stub, book = Listening("main"), Book()
    accounts = {
        "main": Account(stub, no_wait, 1, callbacks=URLS),
        "silent": Account(Stub("silent"), no_wait, 1),
    }
    desk = Desk(accounts, POLICY, "web", lambda: 0.5)
    parts = Parts(
        Settings(accounts=dict.fromkeys(accounts, SETTINGS), **settings),
        database,
        redis,
        desk,
        asyncio.Semaphore(),
        asyncio.Semaphore(),
        LateAnswers(),
        Spool(Path()),
        Deliverer(database, Requests((), most=1)),
    )
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(parts, host, 0, ready.set_result, write=book.write, **more))
    done, _ = await asyncio.wait({server, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    if server in done:
        await server
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        web = Web(await ready, stub, book, client, server)
        try:
            yield web
        finally:
            book.gate.set()
            await web.end()


@pytest.fixture
async def web(database: Database, redis: Redis) -> AsyncIterator[Web]:
    """A served web on a database of its own."""
    async with web_of(database, redis) as served:
        yield served


def is_free(url: str) -> bool:
    """Whether nobody listens there any more."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0
