"""When a process deals: as soon as there may be something due, but not more often than every fifth of a
second, for a deal is one statement for many batches.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

from campaigns.domain.errors import DatabaseUnavailable
from worker.bootstrap import Parts

_GAP_SECONDS = 0.2  # between the beginnings of two deals; the first comes at once
_STEP_SECONDS = 0.05  # moments to come are told apart no finer


class Dealer:
    """Deals when a batch ended or wants work again; what nobody asked for in time, the tick deals.

    Takes what dealing is. Lives on one event loop at a time, and all of it is called there.
    """

    def __init__(self, deal: Callable[[Parts], Awaitable[None]]) -> None:
        self._deal = deal
        self._parts: Parts | None = None
        self._wanted: set[int] = set()  # steps of the loop's clock
        self._last = -math.inf  # when the last deal began
        self._timer: asyncio.TimerHandle | None = None
        self._dealing: asyncio.Task[None] | None = None

    def soon(self, parts: Parts, in_seconds: float = 0.0) -> None:
        """Deal in so many seconds, a moment more. Many who ask for the same moment cost one deal."""
        self._parts = parts
        now = asyncio.get_running_loop().time()
        self._wanted.add(math.ceil((now + in_seconds) / _STEP_SECONDS) if in_seconds else 0)
        self._set()

    async def now(self, parts: Parts) -> None:
        """Deal, unless it is being dealt just now. Raises what dealing raises."""
        if self._dealing is None:
            await self._deal(parts)

    async def close(self) -> None:
        """Deal no more, and see what was begun to its end."""
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
            # The tick says that the database is away, and deals when it is back.
            with suppress(DatabaseUnavailable):
                await self._deal(parts)
        finally:
            self._dealing = None
            self._set()
