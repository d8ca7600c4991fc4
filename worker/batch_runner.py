"""The batches that this process works on. A Celery task brings the first ones; as each ends, another that is
due is leased for the same slot. So only the first of a stream of batches goes through the broker.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from campaigns import batching
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.policy import Desk
from campaigns.pacing.lanes import Lanes, Slot
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from worker.bootstrap import Parts

_STAY_SECONDS = 10.0  # after which a slot ends; what is due is dealt to all processes again
_IDLE_SECONDS = 0.5  # for which a slot waits for something to be due

_T = TypeVar("_T")


class BatchRunner(Generic[_T]):
    """Works on batches of one kind, each in a slot of its own, for every Celery task of this process.

    Takes which lanes they pass; `stage`, which works on one; `after`, which hears what became of it; and
    `want`, which asks for a deal soon: for the slots that wait here alone, or (True) for all processes. An
    error in one batch ends its slot and stops no other. Not thread-safe: call everything on one event loop.
    """

    def __init__(
        self,
        lanes_of: Callable[[Parts], Lanes],
        stage: Callable[[Database, Desk, Dealt, Slot], Awaitable[_T]],
        after: Callable[[Parts, Dealt, _T], Awaitable[None]],
        want: Callable[[Parts, bool], None],
    ) -> None:
        self._lanes_of = lanes_of
        self._stage = stage
        self._after = after
        self._want = want
        self._slots: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[asyncio.Future[Dealt | None], float]] = deque()  # until when they wait
        self._left: list[Dealt] = []  # leased and not begun: the process is ending
        self._errors: list[BaseException] = []
        self._is_watched = False  # whether a task waits for the slots
        self._news = asyncio.Event()  # they have all ended, or one failed

    async def work(self, parts: Parts, dealt: Sequence[Dealt]) -> None:
        """Work on these batches. Returns when every slot has ended, at once where another task waits.

        Raises the first error of a batch as soon as it comes, that of a bug before a database that is away.
        """
        for each in dealt:
            slot = asyncio.create_task(self._run(parts, each))
            self._slots.add(slot)
            slot.add_done_callback(self._ended)
        if self._is_watched:
            return
        self._is_watched = True
        try:
            await self._watch()
        finally:
            self._is_watched = False
            left, self._left = self._left, []
            if left:
                await batching.take_back(parts.database, left)  # another process deals them again

    def free_count(self, parts: Parts) -> int:
        """How many slots wait for a batch that the lanes have room for: what would only wait in front of them
        is left to other processes.
        """
        busy_count = len(self._slots) - len(self._waiting)
        return max(0, min(len(self._waiting), self._lanes_of(parts).capacity - busy_count))

    def fill(self, parts: Parts, dealt: Sequence[Dealt]) -> Sequence[Dealt]:
        """Give batches that were leased just now to the slots that wait. Gives those for which there is none.

        Slots that have waited long enough for nothing end; the others want another deal.
        """
        given, most = 0, min(self.free_count(parts), len(dealt))
        now = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, deque()
        for slot, until in waiting:
            if slot.done():  # cancelled
                continue
            if given < most:
                slot.set_result(dealt[given])
                given += 1
            elif now >= until or parts.desk.is_stopping():
                slot.set_result(None)
            else:
                self._waiting.append((slot, until))
        if self._waiting:
            self._want(parts, False)
        return dealt[given:]

    def dismiss(self) -> None:
        """End the slots that wait: there is no dealing at the moment."""
        waiting, self._waiting = self._waiting, deque()
        for slot, _ in waiting:
            if not slot.done():
                slot.set_result(None)

    async def close(self) -> None:
        """Wait for the batches under way, which no task may be waiting for after an error."""
        self.dismiss()
        if self._slots:
            await asyncio.wait(self._slots)

    async def _run(self, parts: Parts, dealt: Dealt) -> None:
        clock = asyncio.get_running_loop().time
        stays_until = clock() + _STAY_SECONDS
        following: Dealt | None = dealt
        while following is not None:
            async with self._lanes_of(parts).enter() as slot:
                if parts.desk.is_stopping():
                    self._left.append(following)
                    return
                became = await self._stage(parts.database, parts.desk, following, slot)
            await self._after(parts, following, became)
            if parts.desk.is_stopping():
                return
            if clock() >= stays_until:
                self._want(parts, True)
                return
            waits: asyncio.Future[Dealt | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((waits, clock() + _IDLE_SECONDS))
            self._want(parts, False)
            following = await waits

    def _ended(self, slot: asyncio.Task[None]) -> None:
        self._slots.discard(slot)
        error = None if slot.cancelled() else slot.exception()
        if error is not None:
            self._errors.append(error)
        if error is not None or not self._slots:
            self._news.set()

    async def _watch(self) -> None:
        while self._slots and not self._errors:
            self._news.clear()
            await self._news.wait()
        errors, self._errors = self._errors, []
        if errors:
            raise min(errors, key=lambda error: isinstance(error, DatabaseUnavailable))
