"""Callbacks: what a provider tells a customer unasked, with its retries and, on request, its mistakes.

Success is 2xx or 3xx within five seconds; anything else is tried again after the given pauses, then dropped.
An address goes out as it was made, byte for byte: it may be signed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from simulator.faults import DelayedFault, DoubledFault, Faults, LostFault

_TIMEOUT_SECONDS = 5.0
_AT_ONCE = 100  # open callbacks; the others wait


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the customer."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Callbacks:
    """What is to be told, and when. Used inside one running loop; end it with `end`.

    Takes the pauses in seconds before each further attempt, and the HTTP statuses after which there is one
    (None: all from 400 on).
    """

    def __init__(
        self,
        faults: Faults,
        pauses: Sequence[float],
        seed: int,
        retried_statuses: frozenset[int] | None = None,
    ) -> None:
        self._faults = faults
        self._pauses = tuple(pauses)
        self._dice = random.Random(seed)  # noqa: S311  seeded so that a run can be replayed
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retried_statuses = retried_statuses
        self.counts: Counter[str] = Counter()
        """made, sent (attempts), taken, dropped (every attempt failed), lost and doubled (by a fault)."""

    @property
    def waiting_count(self) -> int:
        """Callbacks that are still to come or under way."""
        return len(self._timers) + len(self._tasks)

    def after(self, seconds: float, make: Callable[[], Call | None]) -> None:
        """Tell the customer what `make` gives when it is due (None: nothing)."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._timers.discard(timer)
            call = make()
            if call is not None:
                self._begin(call)

        timer = loop.call_later(seconds, begin)
        self._timers.add(timer)

    def _begin(self, call: Call) -> None:
        self.counts["made"] += 1
        drawn = self._faults.draw("callback")
        if drawn.get(LostFault):
            self.counts["lost"] += 1
            return
        copies = 2 if drawn.get(DoubledFault) else 1
        self.counts["doubled"] += copies - 1
        delayed = drawn.get(DelayedFault)
        for _ in range(copies):
            delay = self._dice.uniform(0, delayed.seconds) if delayed else 0.0
            task = asyncio.get_running_loop().create_task(self._tell(call, delay))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self, call: Call, delay: float) -> None:
        for pause in (delay, *self._pauses):
            await asyncio.sleep(pause)
            self.counts["sent"] += 1
            async with self._slots:
                status = await self._once(call)
            if status is not None and status < 400:
                self.counts["taken"] += 1
                return
            if status is not None and self._retried_statuses and status not in self._retried_statuses:
                break
        self.counts["dropped"] += 1

    async def _once(self, call: Call) -> int | None:
        """The status it was answered with; None: no answer in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
            )
        try:
            async with self._session.request(
                call.method,
                URL(call.url, encoded=True),
                headers=call.headers,
                data=call.body or None,
                allow_redirects=False,
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None  # counted by the caller, and tried again

    def clear(self) -> None:
        """Forget what is still to be told, and the counts."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        self.counts.clear()

    async def end(self) -> None:
        """Forget everything and close the connections."""
        self.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
