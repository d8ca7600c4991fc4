"""Group commit of callbacks: what arrives while one write runs is stored by the next write.

A callback is answered after its receipts are stored. One transaction for each of thousands a second would be
too slow; one for all that arrived meanwhile is fast, and no callback waits for others to arrive.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.metrics import CALLBACKS_WAITING, CALLBACKS_WRITE_SECONDS, RECEIPTS, UNMETERED, Meter
from campaigns.domain.provider import Receipt
from campaigns.grouping import Grouping
from campaigns.store.session import UNSTORABLE
from worker.logs.logger import get_logger

log = get_logger("campaigns.web")

Taken = tuple[str, Receipt]
"""An account, and a receipt of its provider."""

Write = Callable[[Sequence[Taken]], Awaitable[None]]
"""Stores receipts, all or none. May be repeated with the same ones."""


class NotStored(Exception):
    """The receipts may not be stored: the provider must send them again. Its sentence holds no data."""


class Inbox:
    """Stores the receipts of all callbacks of this process. Use it on one event loop; end it with `close`.

    Takes the write; how many receipts may be in it, waiting or being written; how many one write takes; how
    long a write may take; how long a callback waits for it; and the meter.
    """

    def __init__(
        self,
        write: Write,
        *,
        most_waiting: int = 10_000,
        most_at_once: int = 1_000,
        write_seconds: float = 20.0,
        patience_seconds: float = 10.0,
        meter: Meter = UNMETERED,
    ) -> None:
        self._write = write
        self._most_waiting = most_waiting
        self._write_seconds = write_seconds
        self._patience_seconds = patience_seconds
        self._grouping: Grouping[Sequence[Taken], None] = Grouping(
            self._write_group,
            most=most_at_once,
            size_of=len,
            split_on=UNSTORABLE,
            keeps=True,  # a caller that goes away leaves its receipts to be stored
        )
        self._patient: deque[tuple[float, asyncio.Future[None]]] = deque()  # until when they wait, in order
        self._timer: asyncio.TimerHandle | None = None  # for the first of them: one, not one a callback
        self._meter = meter
        meter.watch(CALLBACKS_WAITING, lambda: self._waiting_count)
        self._waiting_count = 0
        self._is_closed = False

    @property
    def waiting_count(self) -> int:
        """Receipts that are not stored yet."""
        return self._waiting_count

    async def put(self, taken: Sequence[Taken]) -> None:
        """Store the receipts of one callback. Returns when they are durable, all of them.

        Raises NotStored: full, closed, the database is away, refused by it, or it takes too long. They may
        then be stored all the same; bringing them again does no harm.
        """
        if not taken:
            return
        if self._is_closed:
            raise NotStored("this process is ending")
        # A callback with more receipts than the limit is accepted if nothing else waits.
        if self._waiting_count and self._waiting_count + len(taken) > self._most_waiting:
            raise NotStored("too many receipts wait to be stored")
        self._waiting_count += len(taken)
        stored = self._grouping.start(taken)
        self._bound(stored)
        await stored

    async def close(self) -> None:
        """Accept nothing more, and wait until everything is written or has failed. Idempotent."""
        self._is_closed = True
        await self._grouping.finish()
        if self._timer is not None:
            self._timer.cancel()

    def _bound(self, stored: "asyncio.Future[None]") -> None:
        """See to it that nobody waits longer than the patience."""
        loop, patient = asyncio.get_running_loop(), self._patient
        while patient and patient[0][1].done():
            patient.popleft()
        patient.append((loop.time() + self._patience_seconds, stored))
        if self._timer is None:
            self._timer = loop.call_at(patient[0][0], self._end_patience)

    def _end_patience(self) -> None:
        loop, patient = asyncio.get_running_loop(), self._patient
        now = loop.time()
        while patient and (patient[0][1].done() or patient[0][0] <= now):
            _, stored = patient.popleft()
            if not stored.done():
                stored.set_exception(NotStored("the database takes too long"))
        self._timer = loop.call_at(patient[0][0], self._end_patience) if patient else None

    async def _write_group(self, group: Sequence[Sequence[Taken]]) -> Sequence[None]:
        receipts = [each for taken in group for each in taken]
        try:
            await self._write_receipts(receipts, is_one=len(group) == 1)
        except UNSTORABLE:
            raise  # the grouping retries in halves: one bad receipt must not keep the others out
        except BaseException:
            self._waiting_count -= len(receipts)
            raise
        self._waiting_count -= len(receipts)
        return [None] * len(group)

    async def _write_receipts(self, receipts: Sequence[Taken], *, is_one: bool) -> None:
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._write(receipts)
        except (DatabaseUnavailable, TimeoutError) as away:
            why = str(away) or f"not written within {self._write_seconds:g} s"
            log.warning("callbacks not stored", receipt_count=len(receipts), why=why)
            raise NotStored("the database is away") from away
        except UNSTORABLE as error:
            if not is_one:
                raise
            why = type(error).__name__
            log.error(
                "callback cannot be stored", account=receipts[0][0], receipt_count=len(receipts), why=why
            )
            raise NotStored("it cannot be stored") from error
        except Exception as error:  # a bug of ours: logged once with its traceback, and not tried again
            log.exception("callbacks not stored", receipt_count=len(receipts), why=type(error).__name__)
            raise NotStored("it cannot be stored") from error
        self._meter.observe(CALLBACKS_WRITE_SECONDS, clock() - began_at)
        self._count(receipts)

    def _count(self, receipts: Sequence[Taken]) -> None:
        if self._meter.is_on:
            kinds = Counter((account, receipt.evidence or "none") for account, receipt in receipts)
            for (account, state), count in kinds.items():
                self._meter.count(RECEIPTS, count, account, "callback", state)
