"""Campaigns that are watched by clients of this process: each is asked for once a second, whatever the number
of its clients, and each client holds the newest state alone. So a slow client costs the others nothing.
"""

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import NoReturn, Self
from uuid import UUID

from aiohttp import web

from campaigns import reading
from campaigns.domain.errors import DatabaseUnavailable, NotFound, origin_of
from campaigns.store.reading.overviews import Overview
from campaigns.store.session import Database
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
    """A campaign as it is told to its watchers. `id` is that of its content: the same in every process."""

    id: str
    text: str = field(repr=False)  # a server-sent event
    is_last: bool

    @classmethod
    def of(cls, overview: Overview) -> Self:
        """A campaign as it is now."""
        data = json.dumps(shapes.OwnedCampaign.of(overview).public())
        is_last = overview.finished_at is not None
        name = hashlib.sha256(data.encode()).hexdigest()[:16]
        return cls(name, f"id: {name}\nevent: {'end' if is_last else 'status'}\ndata: {data}\n\n", is_last)


class Watched:
    """One campaign. `state` is None until the first look; `is_over` says that nobody looks any more."""

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

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: dict[UUID, Watched] = {}
        self._looking: dict[UUID, asyncio.Task[None]] = {}
        self._of_key: Counter[str] = Counter()
        self._looks = asyncio.Semaphore(_MOST_LOOKS)
        self.is_closing = False

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
    async def watch(self, campaign_id: UUID) -> AsyncIterator[Watched]:
        """A campaign, looked at while anybody is in such a block."""
        watched = self._watched.get(campaign_id)
        if watched is None:
            watched = self._watched[campaign_id] = Watched(is_over=self.is_closing)
        if not watched.is_over and campaign_id not in self._looking:
            self._looking[campaign_id] = asyncio.create_task(self._look(campaign_id, watched))
        watched.client_count += 1
        try:
            yield watched
        finally:
            watched.client_count -= 1
            if not watched.client_count and self._watched.get(campaign_id) is watched:
                self._forget(campaign_id)

    def _forget(self, campaign_id: UUID) -> None:
        self._watched.pop(campaign_id).tell(is_over=True)
        if looking := self._looking.pop(campaign_id, None):
            looking.cancel()

    async def _look(self, campaign_id: UUID, watched: Watched) -> None:
        try:
            while not (watched.state and watched.state.is_last):
                async with self._looks:
                    began_at = monotonic()
                    state = watched.state
                    try:
                        state = State.of(await reading.status(self._database, campaign_id))
                    except DatabaseUnavailable as away:  # the clients wait with us
                        log.warning("database away", why=str(away), campaign_id=str(campaign_id))
                if state is not None and (watched.state is None or state.id != watched.state.id):
                    watched.tell(state, is_over=state.is_last)
                await asyncio.sleep(max(LOOK_SECONDS, _REST * (monotonic() - began_at)))
        except NotFound:
            log.info("a watched campaign is gone", campaign_id=str(campaign_id))
        except Exception as error:  # a bug: its clients are let go, and come again
            log.error("a campaign cannot be watched", campaign_id=str(campaign_id), why=origin_of(error))
        finally:
            watched.tell(is_over=True)
            if self._watched.get(campaign_id) is watched:
                del self._watched[campaign_id], self._looking[campaign_id]

    def close(self) -> None:
        """Let every client go: it comes again, and finds another process."""
        self.is_closing = True
        for campaign_id in [*self._watched]:
            self._forget(campaign_id)


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
