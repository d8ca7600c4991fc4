"""When a process leases due batches ("deals"): as soon as some may be due, at most every fifth of a second.

One deal is one statement for many batches, so dealing more often would cost more and bring nothing.
"""

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

from campaigns.domain.errors import DatabaseUnavailable
from worker.bootstrap import Parts

_GAP_SECONDS = 0.2  # between the starts of two deals; the first starts at once
_STEP_SECONDS = 0.05  # deals wanted within the same step are one deal


class Deal(Protocol):
    """Deals once. `for_all`: also for other processes."""

    def __call__(self, parts: Parts, *, for_all: bool) -> Awaitable[None]: ...


class Dealer:
    """Deals when a batch ended or is due again; the tick deals whatever nobody asked for.

    Takes the coroutine function that deals, for all processes or for this one alone. Not thread-safe: call
    everything on one event loop.
    """

    def __init__(self, deal: Deal) -> None:
        self._deal = deal
        self._for_all = False  # whether the next deal is
        self._parts: Parts | None = None
        self._wanted: set[int] = set()  # steps of the loop's clock
        self._last = -math.inf  # when the last deal began
        self._timer: asyncio.TimerHandle | None = None
        self._dealing: asyncio.Task[None] | None = None

    def soon(self, parts: Parts, in_seconds: float = 0.0, *, for_all: bool = True) -> None:
        """Deal in `in_seconds`, or up to a step later. Many calls for the same moment cost one deal.

        `for_all`: not for this process's free slots alone.
        """
        self._parts = parts
        self._for_all |= for_all
        now = asyncio.get_running_loop().time()
        self._wanted.add(math.ceil((now + in_seconds) / _STEP_SECONDS) if in_seconds else 0)
        self._set()

    async def now(self, parts: Parts) -> None:
        """Deal for all processes, unless a deal is under way. Raises what dealing raises."""
        if self._dealing is None:
            await self._deal(parts, for_all=True)

    async def close(self) -> None:
        """Start no more deals, and wait for the one under way."""
        self._wanted.clear()
        self._set()
        if self._dealing is not None:
            await asyncio.wait([self._dealing])

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wanted and self._dealing is None:
            at = max(min(self._wanted) * _STEP_SECONDS, self._last + _GAP_SECONDS)
            self._timer = asyncio.get_running_loop().call_at(at, self._begin)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        step = math.floor(self._last / _STEP_SECONDS)
        self._wanted = {each for each in self._wanted if each > step}
        if self._parts is not None:
            self._dealing = loop.create_task(self._go(self._parts))

    async def _go(self, parts: Parts) -> None:
        try:
            # The tick logs that the database is away, and deals when it is back.
            with suppress(DatabaseUnavailable):
                for_all, self._for_all = self._for_all, False
                await self._deal(parts, for_all=for_all)
        finally:
            self._dealing = None
            self._set()
