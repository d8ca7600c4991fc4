"""Limits the number of open connections, and closes those that send no request.

Anybody on the Internet may open connections, and each costs a file descriptor. Without free ones asyncio
calls `accept` as often as the backlog is long, and logs a traceback each time (cpython#151615): megabytes of
log a second.
"""

import asyncio
import resource
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.logs.logger import get_logger

BACKLOG = 128
"""Connections that the kernel queues; also how often asyncio tries without a free file descriptor."""

_MOST_CONNECTIONS = 4_000  # whatever the number of files
_RESERVED_FILES = 64  # for the database, logs, libraries
_FEWEST_CONNECTIONS = 16  # however few files there may be
_HEAD_SECONDS = 10.0  # from connecting to the end of the first request's head
_SAY_AGAIN_SECONDS = 60.0  # before the log says again that too many are open

log = get_logger("campaigns.web")


def most_connections() -> int:
    """How many connections may be open at once, given this process's limit of file descriptors."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(min(files - _RESERVED_FILES, _MOST_CONNECTIONS), _FEWEST_CONNECTIONS)


class ConnectionLimit:
    """Makes the protocol of each connection: aiohttp's, or one that closes at once if too many are open.

    Takes how many may be open, and how long one may take to send the head of its first request. Use it on
    one event loop.
    """

    def __init__(self, *, most: int, head_seconds: float = _HEAD_SECONDS) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._silent: set[asyncio.BaseProtocol] = set()  # each for at most `head_seconds`
        self._say = LogThrottle(_SAY_AGAIN_SECONDS)

    def protocol(self, server: web.Server) -> asyncio.BaseProtocol:
        """The protocol of one connection."""
        if len(server.connections) >= self._most:
            if count := self._say.count("too many connections"):
                log.warning("connections refused", why="too many are open", most=self._most, count=count)
            return _Closed()
        handler = server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(self._head_seconds, self._expect_heard, handler)
        return handler

    def middleware(self) -> Middleware:
        """For the application: notes that a connection has sent the head of a request."""

        @web.middleware
        async def hear(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.hear(request)
            return await handler(request)

        return hear

    def hear(self, request: web.BaseRequest) -> None:
        """Note that the request's connection has sent the head of one."""
        self._silent.discard(request.protocol)

    def _expect_heard(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()

    def on_loop_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`: one line a minute about missing file descriptors."""
        if "accept()" not in str(context.get("message", "")):
            loop.default_exception_handler(context)
        elif count := self._say.count("no file left"):
            error = context.get("exception")
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.error("connections cannot be taken; raise LimitNOFILE", why=why, count=count)


class _Closed(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class LogThrottle:
    """Says when a frequent event is worth a line in the log: the first time, then once in a while."""

    def __init__(self, again_seconds: float) -> None:
        self._again_seconds = again_seconds
        self._said: dict[str, tuple[float, int]] = {}  # time of the last line, events since

    def count(self, kind: str) -> int:
        """Count an event. Gives the number since the last line, or 0 if it is too early for another line."""
        now = asyncio.get_running_loop().time()
        at, before = self._said.get(kind, (float("-inf"), 0))
        if now - at < self._again_seconds:
            self._said[kind] = (at, before + 1)
            return 0
        self._said[kind] = (now, 0)
        return before + 1
