"""Receipts on their way into the database: what waits while one write runs is the next write.

A callback is answered when its receipts are stored, not before. One by one that would be a transaction
for each of thousands a second; together it is one for all that came meanwhile, without waiting for more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.provider import Receipt
from worker.logs import get_logger

log = get_logger("campaigns.web")

Taken = tuple[str, Receipt]
"""An account, and a receipt of its provider."""

Write = Callable[[Sequence[Taken]], Awaitable[None]]
"""Stores receipts, all or none. May be repeated with the same ones."""


class NotStored(Exception):
    """The receipts may not be stored: whoever brought them must bring them again. One harmless sentence."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    taken: Sequence[Taken]
    stored: "asyncio.Future[None]"


class Inbox:
    """The one door of receipts in this process. Used inside one running loop; end it with `close`.

    Takes the write; how many receipts may be in it at once, waiting or being written (beyond that it is
    full); how many one write takes; how long a write may last, and how long anybody waits for one.
    """

    def __init__(
        self,
        write: Write,
        *,
        most_waiting: int = 10_000,
        most_at_once: int = 1_000,
        write_seconds: float = 20.0,
        patience_seconds: float = 10.0,
    ) -> None:
        self._write = write
        self._most_waiting = most_waiting
        self._most_at_once = most_at_once
        self._write_seconds = write_seconds
        self._patience_seconds = patience_seconds
        self._queue: deque[_Waiting] = deque()
        self._waiting_count = 0
        self._writer: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def waiting_count(self) -> int:
        """Receipts that are not stored yet."""
        return self._waiting_count

    async def put(self, taken: Sequence[Taken]) -> None:
        """Store the receipts of one callback. Returns when they are durable, all of them.

        Raises NotStored: full, closed, the database is away, or it takes too long. They may then be
        stored all the same; bringing them again does no harm.
        """
        if not taken:
            return
        if self._is_closed:
            raise NotStored("this process is ending")
        # However many one callback holds, it fits where nothing else waits.
        if self._waiting_count and self._waiting_count + len(taken) > self._most_waiting:
            raise NotStored("too many receipts wait to be stored")
        waiting = _Waiting(taken, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting_count += len(taken)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        try:
            async with asyncio.timeout(self._patience_seconds):
                await waiting.stored
        except TimeoutError:
            raise NotStored("the database takes too long") from None

    async def close(self) -> None:
        """Take nothing more, and return when all that waits was written, or could not be. Idempotent."""
        self._is_closed = True
        if self._writer is not None:
            await self._writer

    async def _write_all(self) -> None:
        while self._queue:
            group = self._next_group()
            try:
                await self._write_group(group)
            finally:
                self._waiting_count -= _count(group)

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        count = len(group[0].taken)
        while self._queue and count + len(self._queue[0].taken) <= self._most_at_once:
            group.append(self._queue.popleft())
            count += len(group[-1].taken)
        return group

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._write([each for waiting in group for each in waiting.taken])
        except (DatabaseUnavailable, TimeoutError) as away:
            why = str(away) or f"not written within {self._write_seconds:g} s"
            log.warning("callbacks not stored", receipt_count=_count(group), why=why)
            _answer(group, NotStored("the database is away"))
        except Exception as error:  # one that cannot be stored must not keep the others out
            if len(group) > 1:
                middle = len(group) // 2
                await self._write_group(group[:middle])
                await self._write_group(group[middle:])
                return
            log.error(
                "callback cannot be stored",
                account=group[0].taken[0][0],
                receipt_count=_count(group),
                why=type(error).__name__,
            )
            _answer(group, NotStored("it cannot be stored"))
        else:
            _answer(group, None)


def _count(group: Sequence[_Waiting]) -> int:
    return sum(len(waiting.taken) for waiting in group)


def _answer(group: Sequence[_Waiting], error: NotStored | None) -> None:
    for waiting in group:
        if waiting.stored.done():
            continue  # whoever brought it has gone
        if error is None:
            waiting.stored.set_result(None)
        else:
            waiting.stored.set_exception(error)
