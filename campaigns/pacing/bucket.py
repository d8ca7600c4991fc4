"""The pace of an account: a token bucket in Redis, shared by every worker process."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from importlib.resources import files
from math import ceil

from redis.asyncio import Redis
from redis.exceptions import RedisError

from campaigns.domain.provider import PaceUsedUp
from campaigns.grouping import Grouping

_SCRIPT = files(__package__).joinpath("bucket.lua").read_text(encoding="utf-8")

# The worker sleeps up to this long for a slot; for a longer wait the batch's lease is given back.
_MOMENT_SECONDS = 0.25
# A patient pace waits up to one interval more, so that somebody always waits for the next slot; but never
# longer than this.
_PATIENCE_SECONDS = 2.0
# Slots within this time after the first are reserved with it: one intent for all of them.
_CLOSELY_SECONDS = 0.05
_AGAIN_SECONDS = 0.02  # between two questions to Redis, at least
_REDIS_AWAY_SECONDS = 2.0  # before the pace is asked again


class Kind(Enum):
    """What slots are used for. `ALONE`: nothing else shares this pace."""

    ALONE = 1
    SENDS = 2
    QUESTIONS = 3


def pace_key(account: str) -> str:
    """The Redis key of an account's pace. It expires by itself."""
    return f"campaigns:pace:{account}"


def questions_key(account: str) -> str:
    """The Redis key of the pace of an account's questions, where they have a pace of their own."""
    return f"{pace_key(account)}:questions"


def _keys(key: str, kind: Kind) -> list[str]:
    return [key, f"{key}:sends-wait", f"{key}:next-question"][: kind.value]


class Pace:
    """How fast one account may be spoken to.

    Takes a Redis client without automatic retries (a repeated script would take two slots), the key that all
    processes share (`pace_key`, `questions_key`), requests per second (> 0) and the burst allowed after a
    pause (>= 1). Sends and questions that share a pace have an object each with the same key: while something
    is to be sent, questions get half of the slots if they want them, and no more. `is_patient`: wait for a
    slot that is about one interval away instead of raising PaceUsedUp.
    """

    def __init__(
        self,
        redis: Redis,
        key: str,
        *,
        requests_per_second: float,
        burst: int,
        kind: Kind = Kind.ALONE,
        is_patient: bool = False,
    ) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._keys = _keys(key, kind)
        self._interval_microseconds = ceil(1_000_000 / requests_per_second)  # never a hair too fast
        self._burst = burst
        interval = 1 / requests_per_second
        longest = _MOMENT_SECONDS + (min(interval, _PATIENCE_SECONDS) if is_patient else 0)
        # A question may reserve a slot further ahead than a send can.
        furthest = _MOMENT_SECONDS + 2 * min(interval, _PATIENCE_SECONDS) + _CLOSELY_SECONDS
        self.longest_wait_seconds = furthest if kind is Kind.QUESTIONS else longest
        self._furthest_microseconds = round(furthest * 1_000_000)
        # Batches that want a slot at the same time ask Redis once.
        self._reserved: Grouping[int, Sequence[float]] = Grouping(self._reserve)

    async def __call__(self) -> None:
        """Wait for a slot, at most `longest_wait_seconds`. Raises PaceUsedUp when it would be longer, or when
        Redis does not answer: without a pace nothing is sent.
        """
        await self.several(1)

    async def several(self, most: int) -> list[float]:
        """Wait for a slot as above, and reserve up to `most` slots that follow closely.

        Gives for each slot in how many seconds its request may leave; the first is 0. Raises PaceUsedUp.
        """
        first, *others = await self._slots(most)
        if first:
            await asyncio.sleep(first)
        return [0.0, *(wait - first for wait in others)]

    async def reserve(self) -> float:
        """Reserve a slot without waiting for it. Gives in how many seconds it comes, at most
        `longest_wait_seconds`. Raises PaceUsedUp.
        """
        (wait,) = await self._slots(1)
        return wait

    async def _slots(self, most: int) -> Sequence[float]:
        waits: Sequence[float] = ()
        while not waits:  # other callers of the group got all slots; one caller gets one each time
            waits = await self._reserved(most)
        return waits

    async def _reserve(self, wanted: Sequence[int]) -> list[list[float]]:
        """Reserve slots for the callers of a group, who want so many each: first come, first served."""
        try:
            is_reserved, *waits = await self._script(
                keys=self._keys,
                args=[
                    self._interval_microseconds,
                    self._burst,
                    round(self.longest_wait_seconds * 1_000_000),
                    sum(wanted),
                    round(_CLOSELY_SECONDS * 1_000_000),
                    self._furthest_microseconds,
                ],
            )
        except (RedisError, OSError) as error:
            raise PaceUsedUp(_REDIS_AWAY_SECONDS) from error
        slots = [wait / 1_000_000 for wait in waits]
        if not is_reserved:
            raise PaceUsedUp(slots[0])
        given = []
        for most in wanted:
            given.append(slots[:most])
            slots = slots[most:]
        return given


class Line:
    """A FIFO queue of one process's questions to one account, which wait for slots of its pace.

    Only the first in the queue asks Redis: else a hundred waiting questions would compete with one send.
    Lives on one event loop.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first = asyncio.Lock()

    async def wait(self, ends_at: float) -> None:
        """Wait for a slot until `ends_at`, on the running loop's clock. Raises PaceUsedUp when none comes by
        then.
        """
        await asyncio.sleep(await self._reserved(ends_at - self._pace.longest_wait_seconds))

    async def _reserved(self, ends_at: float) -> float:
        """Reserve the next slot. Gives in how many seconds it comes."""
        if not self._first.locked():
            with suppress(PaceUsedUp):
                return await self._pace.reserve()
        try:
            async with asyncio.timeout_at(ends_at):
                await self._first.acquire()
        except TimeoutError:
            raise PaceUsedUp(0.0) from None
        try:
            return await self._reserved_as_first(ends_at)
        finally:
            self._first.release()

    async def _reserved_as_first(self, ends_at: float) -> float:
        while True:
            try:
                return await self._pace.reserve()
            except PaceUsedUp as later:
                # A slot can be reserved some time before it comes: ask again then, before others do.
                wait = max(later.wait_seconds - self._pace.longest_wait_seconds, _AGAIN_SECONDS)
                if asyncio.get_running_loop().time() + wait >= ends_at:
                    raise
            await asyncio.sleep(wait)
