"""What is watched by clients of this process, campaigns and pages: each is looked at once a second, whatever
the number of its clients, and each client holds the newest state alone. So a slow client costs the others
nothing.
"""

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NoReturn, Self

from aiohttp import web

from campaigns.domain.errors import DatabaseUnavailable, NotFound, origin_of
from campaigns.store.reading.overviews import Overview
from worker import shapes
from worker.logs.logger import get_logger

LOOK_SECONDS = 1.0
"""Between two looks at a watched campaign."""

MOST_STREAMS = 1_000
"""Clients of one process that watch."""

MOST_STREAMS_OF_A_KEY = 100
"""Of them with one key."""

UNREAD_SECONDS = 10.0
"""A client that has not taken the event before for so long is dropped."""

HEARTBEAT_SECONDS = 15.0
"""After which a stream that has nothing to tell says that it lives."""

MEDIA_TYPE = "text/event-stream"

_AGAIN_MILLISECONDS = 3_000  # before a client whose stream ended comes again
_SEND_BUFFER_BYTES = 16 * 1024  # that the kernel keeps for a client who does not read
_HEARTBEAT = ": \n\n"
_REST = 9  # times as long as a look took: however slow the database, a tenth of one connection at most
_MOST_LOOKS = 4  # connections of the pool that looks use at once

log = get_logger("campaigns.web")


class TooMany(Exception):
    """No more clients may watch: of this key, or at all."""

    def __init__(self, *, is_of_key: bool) -> None:
        super().__init__("too many streams")
        self.is_of_key = is_of_key


@dataclass(frozen=True, slots=True)
class State:
    """Something as it is told to its watchers, in named parts. `id` is that of its content: the same in every
    process.
    """

    id: str
    parts: Mapping[str, Any] = field(repr=False)
    is_last: bool

    @classmethod
    def of(cls, parts: Mapping[str, Any], *, is_last: bool) -> Self:
        """Takes what `json` writes, by name."""
        return cls(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16], parts, is_last)

    @classmethod
    def of_campaign(cls, overview: Overview) -> Self:
        """A campaign as it is now."""
        is_last = overview.finished_at is not None
        return cls.of(shapes.OwnedCampaign.of(overview).public(), is_last=is_last)

    def event(self, parts: Mapping[str, Any]) -> str:
        """A server-sent event that tells these parts of it."""
        name = "end" if self.is_last else "status"
        return f"id: {self.id}\nevent: {name}\ndata: {json.dumps(parts)}\n\n"

    @property
    def text(self) -> str:
        """An event that tells it whole."""
        return self.event(self.parts)

    def text_after(self, seen: "State | None") -> str:
        """An event for a client that saw a state of the same thing before."""
        return self.text


class PartsState(State):
    """Something of which each part stands alone: a client that knows one is not told it again."""

    def text_after(self, seen: State | None) -> str:
        """An event that tells what has changed."""
        known = {} if seen is None else seen.parts
        return self.event({name: part for name, part in self.parts.items() if known.get(name) != part})


Look = Callable[[], Awaitable[State]]
"""Looks at what is watched. Raises NotFound where it is gone, DatabaseUnavailable."""


class Watched:
    """What is looked at for its clients. `state` is None until the first look; `is_over` says that nobody
    looks any more.
    """

    def __init__(self, *, is_over: bool) -> None:
        self.state: State | None = None
        self.is_over = is_over
        self.client_count = 0
        self._changed = asyncio.Event()

    def tell(self, state: State | None = None, *, is_over: bool = False) -> None:
        """Wake those who wait. For who looks."""
        self.state, self.is_over = state or self.state, is_over
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until something is new, or the time is up."""
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return


class Streams:
    """All that is watched in this process. Use it on one event loop."""

    def __init__(self) -> None:
        self._watched: dict[Hashable, Watched] = {}
        self._looking: dict[Hashable, asyncio.Task[None]] = {}
        self._of_key: Counter[str] = Counter()
        self._looks = asyncio.Semaphore(_MOST_LOOKS)
        self.is_closing = False

    @property
    def client_count(self) -> int:
        """How many watch."""
        return self._of_key.total()

    @contextmanager
    def client(self, key_id: str) -> Iterator[None]:
        """Room for one client, for the length of the block. Raises TooMany."""
        if self.is_closing or self._of_key.total() >= MOST_STREAMS:
            raise TooMany(is_of_key=False)
        if self._of_key[key_id] >= MOST_STREAMS_OF_A_KEY:
            raise TooMany(is_of_key=True)
        self._of_key[key_id] += 1
        try:
            yield
        finally:
            self._of_key[key_id] -= 1
            if not self._of_key[key_id]:
                del self._of_key[key_id]

    @asynccontextmanager
    async def watch(self, name: Hashable, look: Look) -> AsyncIterator[Watched]:
        """What is looked at while anybody is in such a block. Under one name, all see the same: the first
        one's `look` serves the others.
        """
        watched = self._watched.get(name)
        if watched is None:
            watched = self._watched[name] = Watched(is_over=self.is_closing)
        if not watched.is_over and name not in self._looking:
            self._looking[name] = asyncio.create_task(self._keep_looking(name, watched, look))
        watched.client_count += 1
        try:
            yield watched
        finally:
            watched.client_count -= 1
            if not watched.client_count and self._watched.get(name) is watched:
                self._forget(name)

    def _forget(self, name: Hashable) -> None:
        self._watched.pop(name).tell(is_over=True)
        if looking := self._looking.pop(name, None):
            looking.cancel()

    async def _keep_looking(self, name: Hashable, watched: Watched, look: Look) -> None:
        try:
            while not (watched.state and watched.state.is_last):
                async with self._looks:
                    began_at = monotonic()
                    state = watched.state
                    try:
                        state = await look()
                    except DatabaseUnavailable as away:  # the clients wait with us
                        log.warning("database away", why=str(away))
                if state is not None and (watched.state is None or state.id != watched.state.id):
                    watched.tell(state, is_over=state.is_last)
                await asyncio.sleep(max(LOOK_SECONDS, _REST * (monotonic() - began_at)))
        except NotFound:
            log.info("what was watched is gone")
        except Exception as error:  # a bug: its clients are let go, and come again
            log.error("what is watched cannot be looked at", why=origin_of(error))
        finally:
            watched.tell(is_over=True)
            if self._watched.get(name) is watched:
                del self._watched[name], self._looking[name]

    def close(self) -> None:
        """Let every client go: it comes again, and finds another process."""
        self.is_closing = True
        for name in [*self._watched]:
            self._forget(name)


class Writer:
    """Writes events to one client that may not read."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._unread_since: float | None = None

    async def write(self, text: str) -> bool:
        """Write, unless what was written before was not taken yet: then False, and the newest is written
        later. Raises ConnectionError where the client is gone, or did not read for too long.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if not transport.get_write_buffer_size():
            self._unread_since = None
            await self._response.write(text.encode())
            return True
        now = monotonic()
        self._unread_since = now if self._unread_since is None else self._unread_since
        if now - self._unread_since > UNREAD_SECONDS:
            self._drop(transport)
        return False

    async def end(self, text: str = "") -> None:
        """Write the last, and end. Raises ConnectionError where the client does not take it."""
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._response.write_eof(text.encode())
        except TimeoutError:
            self._drop(self._request.transport)

    @staticmethod
    def _drop(transport: asyncio.Transport | None) -> NoReturn:
        if transport is not None:
            if connection := transport.get_extra_info("socket"):  # the kernel keeps nothing for it either
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        raise ConnectionResetError("the client does not read")


def event_stream() -> web.StreamResponse:
    """An answer that is a stream of events."""
    return web.StreamResponse(
        headers={
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Accel-Buffering": "no",  # nginx would hold events back
        }
    )


async def tell(
    request: web.Request,
    response: web.StreamResponse,
    first: State,
    watching: AbstractAsyncContextManager[Watched],
    *,
    seen: str | None,
    longest_seconds: float,
) -> web.StreamResponse:
    """Answer with the states of what is watched as they come, until its last, or for so long.

    Takes its state now, and the id of the state that the client saw last, which is not told again.
    """
    connection = request.get_extra_info("socket")
    if connection is not None:  # a client that does not read is noticed the sooner the less the kernel keeps
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    await response.prepare(request)
    writer = Writer(request, response)
    try:
        if first.is_last:
            await writer.end(first.text)
        else:
            await writer.write(f"retry: {_AGAIN_MILLISECONDS}\n\n")
            async with watching as watched:
                await _tell(writer, watched, first, seen, longest_seconds)
    except ConnectionError:
        return response  # nobody is there to be told
    return response


async def _tell(
    writer: Writer, watched: Watched, state: State, seen: str | None, longest_seconds: float
) -> None:
    ends_at = monotonic() + longest_seconds
    told: State | None = state if state.id == seen else None
    while True:
        if state.is_last:
            return await writer.end(state.text_after(told))
        if watched.is_over or monotonic() >= ends_at:
            return await writer.end()
        is_known = told is not None and told.id == state.id
        was_taken = await writer.write(_HEARTBEAT if is_known else state.text_after(told))
        told = state if was_taken else told
        if not watched.is_over and (watched.state is None or watched.state.id == state.id):
            await watched.wait(HEARTBEAT_SECONDS if was_taken else LOOK_SECONDS)
        state = watched.state or state
