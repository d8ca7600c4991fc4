"""Places in a process: how many batches may be at each part of their way at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

PLACE_SHARE_OF_LEASE = 0.25
"""How much of its lease a batch may wait for a place: the rest is for what it was taken up for."""


class Way(Protocol):
    """One batch's way through a process: taken up, with the provider, written down."""

    async def go_on(self) -> None:
        """Wait for a place at the next part of the way, and give the last one back."""
        ...


class Places:
    """Bounds to `count` batches (>= 1) each: what was taken up and waits to go out, what is with providers,
    and what came back and is being written down.

    So no place with a provider stands empty while the database is spoken to. What is in doubt when the
    process is killed is in the last two parts. Lives on one event loop.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._parts = [asyncio.Semaphore(count) for _ in range(3)]

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Way]:
        """Wait for a place at the first part of the way; at the end, whatever part that is, give it back."""
        way = _Way(self._parts)
        await way.go_on()
        try:
            yield way
        finally:
            way.end()


class _Way:
    def __init__(self, parts: list[asyncio.Semaphore]) -> None:
        self._ahead = list(parts)
        self._here: asyncio.Semaphore | None = None

    async def go_on(self) -> None:
        if not self._ahead:
            return
        await self._ahead[0].acquire()
        self.end()
        self._here = self._ahead.pop(0)

    def end(self) -> None:
        if self._here is not None:
            self._here.release()
            self._here = None


class Alone:
    """The way of a batch that is bounded by nothing: for one who has a single batch in hand."""

    async def go_on(self) -> None:
        """No need to wait."""


ALONE = Alone()
