"""Lanes of a process: how many batches may be in each stage of the pipeline at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

_SHARE_OF_LEASE = 0.25  # for waiting; the rest is for what the batch was taken up for


class Slot(Protocol):
    """One batch's permit in the pipeline: taken up, with the provider, being written down."""

    @property
    def is_wanted(self) -> bool:
        """Whether another batch waits for the permit this one holds."""
        ...

    async def advance(self) -> None:
        """Wait for a permit of the next lane, then give back the one held."""
        ...


async def wait_for_provider(slot: Slot, lease_seconds: float) -> bool:
    """Wait for a slot with the provider, at most a quarter of the lease. False: release the batch; another
    worker will take it.
    """
    try:
        async with asyncio.timeout(lease_seconds * _SHARE_OF_LEASE):
            await slot.advance()
    except TimeoutError:
        return False
    return True


class Lanes:
    """A pipeline of three semaphores, `count` permits (>= 1) each: batches that were taken up and wait to go
    out, that are with providers, that came back and are being written down.

    So no slot with a provider is idle while the database is spoken to. When the process is killed, what is
    in the last two lanes is in doubt. Lives on one event loop.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._lanes = [_Lane(count) for _ in range(3)]

    @property
    def capacity(self) -> int:
        """How many batches have a permit when every lane is full."""
        return self.count * len(self._lanes)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Slot]:
        """Wait for a permit of the first lane; at the end give back the one then held, whichever lane's."""
        slot = _Slot(self._lanes)
        await slot.advance()
        try:
            yield slot
        finally:
            slot.leave()


class _Lane:
    def __init__(self, count: int) -> None:
        self._permits = asyncio.Semaphore(count)
        self.waiting_count = 0

    async def acquire(self) -> None:
        self.waiting_count += 1
        try:
            await self._permits.acquire()
        finally:
            self.waiting_count -= 1

    def release(self) -> None:
        self._permits.release()


class _Slot:
    def __init__(self, lanes: list[_Lane]) -> None:
        self._ahead = list(lanes)
        self._lane: _Lane | None = None

    @property
    def is_wanted(self) -> bool:
        return self._lane is not None and self._lane.waiting_count > 0

    async def advance(self) -> None:
        if not self._ahead:
            return
        await self._ahead[0].acquire()
        self.leave()
        self._lane = self._ahead.pop(0)

    def leave(self) -> None:
        if self._lane is not None:
            self._lane.release()
            self._lane = None


class _Unbounded:
    is_wanted = False

    async def advance(self) -> None:
        """No need to wait."""


UNBOUNDED = _Unbounded()
"""The slot of a batch that is alone: a test's, a command's."""
