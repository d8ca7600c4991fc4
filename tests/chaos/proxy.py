"""A TCP port that leads to a server on its unix socket, until it is told to misbehave, or where else to lead.

It runs on a loop in a thread of its own, so that it goes on while a test waits.
"""

import asyncio
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

_SECONDS = 10.0  # to start, to stop
_PIECE_BYTES = 65536
_COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n\$\d+\r\n([^\r\n]*)\r\n")


class Mood(Enum):
    """How the link is."""

    PASS = "pass"
    REFUSE = "refuse"  # every connection is reset, those there are and those to come
    SWALLOW = "swallow"  # half-open: connections stay and new ones are taken, nothing gets through


class Link:
    """The link from 127.0.0.1 to one server's socket. Safe to call from any thread.

    TCP cannot skip what it lost: a connection of which something was swallowed stays a black hole when the
    link is well again, as behind a router that forgot it. Only its client can notice.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._mood = Mood.PASS
        self._loses_reply_to: tuple[bytes, bytes] | None = None
        self.url = ""  # for REDIS_URL
        self.port = 0
        self.swallowed_count = 0  # pieces that did not get through, either way
        self.refused_count = 0
        self.lost_reply_count = 0

    # --- from the test's thread ----------------------------------------------------------------------

    def turn(self, mood: Mood) -> None:
        """How the link is from now on; done when this returns."""
        self._run(self._turn(mood))

    def lead_to(self, socket: str) -> None:
        """Lead to another server from now on; every connection there is, is reset."""
        self._socket = socket
        self.turn(Mood.REFUSE)
        self.turn(Mood.PASS)

    def lose_reply_to(self, command: str, argument: str) -> None:
        """The next `command` with this first argument is carried out, and its client sees the connection
        break instead of the reply.
        """
        self._loses_reply_to = (command.encode(), argument.encode())

    def open(self) -> None:
        """Listen."""
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Break every connection and end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    # --- in the link's thread ------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    async def _turn(self, mood: Mood) -> None:
        self._mood = mood
        if mood is Mood.REFUSE:
            self._break()

    def _break(self) -> None:
        for connection in self._connections.values():
            connection.break_off()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._break()
        await asyncio.gather(*self._connections)

    async def _connected(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if self._mood is Mood.REFUSE:
                raise ConnectionRefusedError
            answered, redis = await asyncio.open_unix_connection(self._socket)
        except OSError:  # also when Redis itself is away
            self.refused_count += 1
            client.transport.abort()
            return
        connection = _Connection(asked, client, answered, redis)
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection
        try:
            await self._carry(connection)
        finally:
            del self._connections[task]
            client.close()
            redis.close()

    async def _carry(self, connection: "_Connection") -> None:
        """Until the client leaves or Redis does; of a black hole the client never hears that Redis did."""
        asking = asyncio.create_task(self._ask(connection))
        answering = asyncio.create_task(self._answer(connection))
        await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
        if connection.is_black_hole:
            await asking
        for pump in (asking, answering):
            pump.cancel()
        await asyncio.gather(asking, answering, return_exceptions=True)

    async def _ask(self, connection: "_Connection") -> None:
        with suppress(OSError):
            while data := await connection.asked.read(_PIECE_BYTES):
                if self._swallows(connection):
                    continue
                if self._loses_reply_to is not None and self._loses_reply_to in _COMMAND.findall(data):
                    self._loses_reply_to = None
                    connection.loses_reply = True
                connection.redis.write(data)
                await connection.redis.drain()

    async def _answer(self, connection: "_Connection") -> None:
        with suppress(OSError):
            while data := await connection.answered.read(_PIECE_BYTES):
                if self._swallows(connection):
                    continue
                if connection.loses_reply:
                    self.lost_reply_count += 1
                    connection.break_off()
                    return
                connection.client.write(data)
                await connection.client.drain()

    def _swallows(self, connection: "_Connection") -> bool:
        connection.is_black_hole |= self._mood is Mood.SWALLOW
        self.swallowed_count += connection.is_black_hole
        return connection.is_black_hole


@dataclass
class _Connection:
    """One client's way to Redis and back."""

    asked: asyncio.StreamReader
    client: asyncio.StreamWriter
    answered: asyncio.StreamReader
    redis: asyncio.StreamWriter
    is_black_hole: bool = False
    loses_reply: bool = False

    def break_off(self) -> None:
        self.client.transport.abort()
        self.redis.transport.abort()


@contextmanager
def link(redis_client_url: str) -> Iterator[Link]:
    """A link to a Redis for the length of a block."""
    with link_to(unquote(urlsplit(redis_client_url).path)) as made:
        yield made


@contextmanager
def link_to(socket: str) -> Iterator[Link]:
    """A link to any server's socket for the length of a block."""
    made = Link(socket)
    made.open()
    try:
        yield made
    finally:
        made.close()
