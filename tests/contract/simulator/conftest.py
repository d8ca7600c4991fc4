"""A simulator in this process, spoken to over real HTTP by a client of these tests' own."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web

from campaigns.domain.provider import Callback
from simulator.options import Options
from simulator.server import serve
from tests.waiting import until

PHONE = "37061234567"  # delivered
DEADLINE_SECONDS = 30.0


@dataclass
class Reply:
    """What came back."""

    status: int
    content_type: str
    body: str

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal keyed by phone or by nothing."""
        answer = self.json()
        return str(answer["error"] if "error" in answer else next(iter(answer.values()))["error"])


class Simulator:
    """One running simulator and the means to speak to it."""

    def __init__(self, url: str, options: Options, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.options = options
        self.session = session

    def target(self, script: str, query: dict[str, str]) -> str:
        return f"/external/get/{script}.php?{urlencode(query)}"

    def signed(self, **query: str) -> dict[str, str]:
        """The query with login, timestamp and signature, made here and not by the simulator's code."""
        query = {"login": self.options.login, "timestamp": str(int(time.time())), "return": "json", **query}
        values = "".join(query[name] for name in sorted(query))
        return {**query, "signature": hashlib.md5((values + self.options.api_key).encode()).hexdigest()}  # noqa: S324  the provider's own scheme

    def send_target(self, phone: str = PHONE, **query: str) -> str:
        """The path and query of a good send, with what is given."""
        return self.target(
            "send", self.signed(**{"phone": phone, "text": "Hello", "sender": "Demo", **query})
        )

    async def get(self, target: str) -> Reply:
        # Never where a fault cuts: aiohttp repeats a cut GET by itself, even on a fresh connection.
        async with self.session.get(self.url + target, allow_redirects=False) as response:
            return Reply(response.status, response.content_type, await response.text())

    async def send(self, phone: str = PHONE, **query: str) -> Reply:
        return await self.get(self.send_target(phone, **query))

    async def ask(self, script: str, **query: str) -> Reply:
        return await self.get(self.target(script, self.signed(**query)))

    async def accept(self, *phones: str) -> list[str]:
        """Send to those numbers; their ids."""
        answer = (await self.send(",".join(phones))).json()
        return [answer[phone]["id_sms"] for phone in phones]

    async def ledger(self) -> dict[str, Any]:
        return dict((await self.get("/_ledger")).json())

    async def accepted(self) -> int:
        return int((await self.ledger())["accepted"])

    async def fault(self, endpoint: str, kind: str, **fields: object) -> int:
        """Post a fault; its id."""
        posted = {"endpoint": endpoint, "kind": kind, **fields}
        async with self.session.post(self.url + "/_faults", json=posted) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return int(answer["id"])

    async def faults(self) -> list[dict[str, Any]]:
        return list((await self.get("/_faults")).json()["faults"])

    async def delete(self, path: str) -> int:
        async with self.session.delete(self.url + path) as response:
            return response.status

    async def connect(self) -> "Line":
        parts = urlsplit(self.url)
        return Line(*await asyncio.open_connection(parts.hostname, parts.port))

    async def speak(self, target: str, *, close: bool = False) -> bytes:
        """Everything the simulator writes to one request on a connection of its own, to its end.

        With `close` the request asks for that end; without, only a cut brings it.
        """
        line = await self.connect()
        try:
            await line.ask(target, close=close)
            return await line.rest()
        finally:
            await line.close()


class Line:
    """A raw connection: shows what aiohttp's client would hide."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, target: str, *, close: bool = False) -> None:
        more = "Connection: close\r\n" if close else ""
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: simulator\r\n{more}\r\n".encode())
        await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """The head and the body of one whole answer."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            return head, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


Start = Callable[..., Awaitable[Simulator]]


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Simulator]:
    """A simulator with the options given, for as long as the context lasts."""
    chosen = Options(**options)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve("127.0.0.1", 0, chosen, ready.set_result))
    # A server that cannot start says so at once instead of never being ready.
    server.add_done_callback(partial(_fail, ready))
    url = await ready
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS),
        ) as session:
            yield Simulator(url, chosen, session)
    finally:
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await server


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators with the options given; ends them all after the test."""
    async with AsyncExitStack() as stack:

        async def begin(**options: Any) -> Simulator:
            return await stack.enter_async_context(running(**options))

        yield begin


def _fail(ready: "asyncio.Future[str]", ended: "asyncio.Task[None]") -> None:
    if not ready.done() and not ended.cancelled():
        ready.set_exception(ended.exception() or RuntimeError("the simulator ended before it was ready"))


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    """One whose messages come to their end at the first question."""
    return await start(delivery_seconds=0)


@dataclass
class Called:
    """One request of seven.io to its customer."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        given = parse_qsl(self.url.partition("?")[2], keep_blank_values=True)
        if self.headers.get("content-type") == "application/x-www-form-urlencoded":
            given += parse_qsl(self.body.decode(), strict_parsing=True)
        return dict(given)


class Customer:
    """Takes callbacks; answers with `statuses`, the last of them again and again."""

    def __init__(self) -> None:
        self.calls: list[Called] = []
        self.statuses = [200]
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        url = f"http://{request.host}{request.raw_path}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Called(request.method, url, headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])

    async def came(self, count: int) -> None:
        async def all_came() -> bool:
            return len(self.calls) >= count

        await until(all_came)


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    made = Customer()
    application = web.Application()
    application.router.add_route("*", "/seven/{token}", made.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/seven/a%2Fb"
    try:
        yield made
    finally:
        await runner.cleanup()


class Hooks:
    """A customer's server: every callback as our web server passes it on, and what to answer (then 200)."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.taken: list[Callback] = []

    async def take(self, request: web.Request) -> web.Response:
        url, body = f"http://{request.host}{request.raw_path}", await request.read()
        self.taken.append(Callback(request.method, url, dict(request.headers), [], body, datetime.now(UTC)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def hooked() -> AsyncIterator[Hooks]:
    hooks = Hooks()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", hooks.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hooks.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield hooks
    finally:
        await runner.cleanup()


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with hooked() as made:
        yield made


async def no_callback_waits(simulator: Simulator) -> bool:
    return bool((await simulator.get("/_callbacks")).json()["waiting"] == 0)


async def callback_counts(simulator: Simulator) -> dict[str, int]:
    """The counts that are not zero, when no callback is waiting any more."""
    await until(lambda: no_callback_waits(simulator))
    said = (await simulator.get("/_callbacks")).json()
    return {name: count for name, count in said.items() if count}


async def at_once() -> None:
    """The pace of an adapter that may always ask."""
