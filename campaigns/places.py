"""Places in a process: how many batches may be at each part of their way at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

_SHARE_OF_LEASE = 0.25  # for waiting; the rest is for what the batch was taken up for


class Way(Protocol):
    """One batch's way through a process: taken up, with the provider, written down."""

    @property
    def is_wanted(self) -> bool:
        """Whether another waits for the place this one has."""
        ...

    async def go_on(self) -> None:
        """Wait for a place at the next part of the way, and give the last one back."""
        ...


async def placed(way: Way, lease_seconds: float) -> bool:
    """Whether a batch that was just taken up got its place with the provider in time, by its lease.

    Where not, the provider is slow: it is to be given back, and whoever has a place takes it up anew.
    """
    try:
        async with asyncio.timeout(lease_seconds * _SHARE_OF_LEASE):
            await way.go_on()
    except TimeoutError:
        return False
    return True


class Places:
    """Bounds to `count` batches (>= 1) each: what was taken up and waits to go out, what is with providers,
    and what came back and is being written down.

    So no place with a provider stands empty while the database is spoken to. What is in doubt when the
    process is killed is in the last two parts. Lives on one event loop.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._parts = [_Part(count) for _ in range(3)]

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Way]:
        """Wait for a place at the first part of the way; at the end, whatever part that is, give it back."""
        way = _Way(self._parts)
        await way.go_on()
        try:
            yield way
        finally:
            way.end()


class _Part:
    def __init__(self, count: int) -> None:
        self._places = asyncio.Semaphore(count)
        self.waiting_count = 0

    async def acquire(self) -> None:
        self.waiting_count += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting_count -= 1

    def release(self) -> None:
        self._places.release()


class _Way:
    def __init__(self, parts: list[_Part]) -> None:
        self._ahead = list(parts)
        self._here: _Part | None = None

    @property
    def is_wanted(self) -> bool:
        return self._here is not None and self._here.waiting_count > 0

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

    is_wanted = False

    async def go_on(self) -> None:
        """No need to wait."""


ALONE = Alone()
