"""A raw TCP server that does to a client what networks do, on request.

Not aiohttp: it must be able to answer and then cut, to send half a body, to drip, to reset, and to count
what really came over the wire.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.waiting import until


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        pairs = parse_qs(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)
        assert all(len(values) == 1 for values in pairs.values()), "a parameter came twice"
        return {name: values[0] for name, values in pairs.items()}


Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What to do once a request is in. An act that does not close the connection keeps it alive."""


@dataclass
class WireServer:
    """Free routes answer by themselves; every other request takes the next act of `script`."""

    port: int = 0
    scheme: str = "http"
    script: deque[Act] = field(default_factory=deque)
    free: dict[str, Callable[[Seen], bytes] | bytes] = field(default_factory=dict)  # by path
    seen: list[Seen] = field(default_factory=list)  # whole requests only
    bytes_received: int = 0
    connections: int = 0
    open_connections: int = 0
    tls_hellos: int = 0
    unscripted: int = 0
    listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def paid(self) -> list[Seen]:
        """The requests that met the script."""
        return [seen for seen in self.seen if seen.path not in self.free]

    def stop_listening(self) -> None:
        """From now on every new connection is refused."""
        assert self.listener is not None
        self.listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while not writer.is_closing() and (seen := await self._read(reader, writer)) is not None:
                self.seen.append(seen)
                if (route := self.free.get(seen.path)) is not None:
                    await answer(route(seen) if callable(route) else route)(writer)
                elif self.script:
                    await self.script.popleft()(writer)
                else:
                    self.unscripted += 1
                    await answer(b"nobody expected this request", status=500)(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over: what came is counted
        finally:
            self.open_connections -= 1
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Seen | None:
        first = await reader.read(1)
        if not first:
            return None
        if first == b"\x16":  # the hello of TLS
            self.tls_hellos += 1
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return None
        self.bytes_received += 1
        head = await reader.readuntil(b"\r\n\r\n")
        self.bytes_received += len(head)
        request_line, *lines = (first + head).decode("ascii").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.bytes_received += len(body)
        method, target, _ = request_line.split(" ")
        return Seen(method, target, headers, body)


@asynccontextmanager
async def wire_server() -> AsyncIterator[WireServer]:
    """A server on 127.0.0.1; all of its connections are closed at the end."""
    server = WireServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server._serve(reader, writer)
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    server.listener = listener
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def body_of(document: object) -> bytes:
    """As JSON, unless it is bytes already."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def answer(
    body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None, close: bool = False
) -> Act:
    """Answer whole. Keeps the connection, unless `close`."""
    lines = {
        "Content-Length": str(len(body)),
        **(headers or {}),
        **({"Connection": "close"} if close else {}),
    }

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, lines) + body)
        await writer.drain()
        if close:
            writer.close()

    return act


def answer_when(condition: Callable[[], bool], body: bytes) -> Act:
    """Answer as soon as `condition` holds."""

    async def act(writer: asyncio.StreamWriter) -> None:
        await until(condition)
        await answer(body)(writer)

    return act


def cut() -> Act:
    """Read the request and close the connection in good order (FIN)."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.close()

    return act


def reset() -> Act:
    """Read the request and reset the connection (RST)."""

    async def act(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return act


def half(body: bytes) -> Act:
    """Announce the whole body, send half of it, close."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": str(len(body))}) + body[: len(body) // 2])
        await writer.drain()
        writer.close()

    return act


def drip(body: bytes) -> Act:
    """Announce the body and send a byte of it at a time, without end in sight."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": str(len(body))}))
        for byte in body:
            if writer.is_closing():
                return
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)  # the fault itself: always something, never enough

    return act


def hang() -> Act:
    """Read the request and say nothing until the test is over."""

    async def act(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return act


def garbage() -> Act:
    """Answer something that is not HTTP."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n\x00\xff\r\n\r\n")
        await writer.drain()
        writer.close()

    return act


def giant(size: int) -> Act:
    """Answer with a body of `size` bytes, for as long as anybody reads."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": str(size)}))
        piece = b" " * 65536
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()

    return act


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said So\r\n{lines}\r\n".encode()
