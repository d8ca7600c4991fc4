"""The pace of an account: a token bucket in Redis, shared by every worker process."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from math import ceil

from redis.asyncio import Redis
from redis.exceptions import RedisError

from campaigns.domain.provider import NotOurTurn
from campaigns.gathering import Gathering

_SCRIPT = files(__package__).joinpath("bucket.lua").read_text(encoding="utf-8")

# A wait up to this is slept in the worker; a longer one gives the batch's slot back.
_MOMENT_SECONDS = 0.25
# Places that come within this after the first are taken along: one intent for all of them.
_CLOSELY_SECONDS = 0.05
_REDIS_AWAY_SECONDS = 2.0


def pace_key(account: str) -> str:
    """The one Redis key of an account's pace. It expires by itself."""
    return f"campaigns:pace:{account}"


class Pace:
    """How fast one account may be spoken to.

    Takes a Redis client without automatic retries (a repeated script would take two places), requests
    per second (> 0) and the burst allowed after a pause (>= 1).
    """

    def __init__(self, redis: Redis, account: str, *, requests_per_second: float, burst: int) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._key = pace_key(account)
        self._interval_microseconds = ceil(1_000_000 / requests_per_second)  # never a hair too fast
        self._burst = burst
        # Batches that come to their turn together ask Redis once.
        self._reserved: Gathering[int, Sequence[float]] = Gathering(self._reserve, shared=(NotOurTurn,))

    async def __call__(self) -> None:
        """Wait for our turn, at most a moment. Raises NotOurTurn when it would be longer, or when Redis
        does not answer: without a pace nothing is sent.
        """
        await self.several(1)

    async def several(self, most: int) -> list[float]:
        """Wait for our turn as above, and reserve up to `most` places that follow closely.

        Gives for each in how many seconds its request may leave, the first now. Raises NotOurTurn.
        """
        waits: Sequence[float] = ()
        while not waits:  # others of the same round had the places: at least one of us has one each time
            waits = await self._reserved(most)
        first, *others = waits
        if first:
            await asyncio.sleep(first)
        return [0.0, *(wait - first for wait in others)]

    async def _reserve(self, wanted: Sequence[int]) -> list[list[float]]:
        """Reserve places for several who want so many each; the first come have them."""
        try:
            is_reserved, *waits = await self._script(
                keys=[self._key],
                args=[
                    self._interval_microseconds,
                    self._burst,
                    round(_MOMENT_SECONDS * 1_000_000),
                    sum(wanted),
                    round(_CLOSELY_SECONDS * 1_000_000),
                ],
            )
        except (RedisError, OSError) as error:
            raise NotOurTurn(_REDIS_AWAY_SECONDS) from error
        places = [wait / 1_000_000 for wait in waits]
        if not is_reserved:
            raise NotOurTurn(places[0])
        given = []
        for most in wanted:
            given.append(places[:most])
            places = places[most:]
        return given
