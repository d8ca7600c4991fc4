"""A simulator in this process, spoken to over real HTTP by a client of these tests' own."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from simulator.options import Options
from simulator.server import serve

PHONE = "37061234567"  # delivered
OTHER_PHONE = "37062345678"
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


def _fail(ready: "asyncio.Future[str]", ended: "asyncio.Task[None]") -> None:
    if not ready.done() and not ended.cancelled():
        ready.set_exception(ended.exception() or RuntimeError("the simulator ended before it was ready"))
