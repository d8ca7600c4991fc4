"""The second witness: Redis keeps which attempts left, of which database, because PostgreSQL may forget."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal
from uuid import UUID, uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from campaigns.domain.errors import WitnessUnavailable
from campaigns.domain.witness import Whereabouts
from campaigns.grouping import Grouping

_SCRIPT = files(__package__).joinpath("witness.lua").read_text(encoding="utf-8")
_SEEN = files(__package__).joinpath("seen.lua").read_text(encoding="utf-8")
_POSITIONS = 100  # of a batch: a message_ref has two digits for them
_TOP = 255  # the highest attempt a byte counts
_MARGIN_SECONDS = 86_400.0  # kept so much longer than the deadline
_ASK_AGAIN_SECONDS = (0.1, 1.0)  # after each lost answer; then it is not known

SEEN_KEY = "campaigns:witness"
"""The Redis key of where the database was seen last, and since when this remembers. It does not expire."""


def marks_key(campaign_id: UUID) -> str:
    """The Redis key of what left of a campaign: a byte a message. It expires by itself."""
    return f"campaigns:left:{campaign_id.hex}"


@dataclass(frozen=True, slots=True)
class _Asked:
    campaign_id: UUID
    number: int
    attempts: Mapping[int, int]  # of at least one position

    @property
    def first(self) -> int:
        """The lowest position."""
        return min(self.attempts)

    def marks(self) -> bytes:
        """The attempts, a byte for each position from the first on; 0 for one that this is not about."""
        first = self.first
        marks = bytearray(max(self.attempts) - first + 1)
        for position, attempt in self.attempts.items():
            marks[position - first] = min(attempt, _TOP)
        return bytes(marks)


class RedisWitness:
    """Keeps `campaigns.domain.witness.Witness`, for all processes of an installation.

    Takes a Redis client, how long after the last hand-over a message of the same batch may still be handed
    over (marks are kept a day longer), and how long to wait before each further try where an answer is lost.
    A call that is repeated is carried out once and gets the same answer. Batches that ask at the same time
    ask Redis once. Lives on one event loop.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        give_up_seconds: float,
        ask_again_seconds: Sequence[float] = _ASK_AGAIN_SECONDS,
    ) -> None:
        self._redis = redis
        self._ask_again_seconds = ask_again_seconds
        self._script = redis.register_script(_SCRIPT)
        self._see = redis.register_script(_SEEN)
        self._kept_milliseconds = round((give_up_seconds + _MARGIN_SECONDS) * 1000)
        self._marked: Grouping[_Asked, Mapping[int, int]] = Grouping(self._mark)
        self._taken_back: Grouping[_Asked, Mapping[int, int]] = Grouping(self._take_back)

    async def mark(self, campaign_id: UUID, number: int, attempts: Mapping[int, int]) -> Mapping[int, int]:
        """As `Witness.mark`. From the 255th attempt on a message may always leave."""
        return await self._marked(_Asked(campaign_id, number, attempts))

    async def take_back(self, campaign_id: UUID, number: int, attempts: Mapping[int, int]) -> None:
        """As `Witness.take_back`."""
        await self._taken_back(_Asked(campaign_id, number, attempts))

    async def _mark(self, asked: Sequence[_Asked]) -> list[Mapping[int, int]]:
        return await self._run("mark", asked)

    async def _take_back(self, asked: Sequence[_Asked]) -> list[Mapping[int, int]]:
        return await self._run("take back", asked)

    async def _run(
        self, command: Literal["mark", "take back"], asked: Sequence[_Asked]
    ) -> list[Mapping[int, int]]:
        arguments: list[str | int | bytes] = [command, self._kept_milliseconds]
        for each in asked:
            arguments += [_POSITIONS * (each.number - 1) + each.first, each.marks()]
        keys = [f"campaigns:answer:{uuid4().hex}", *(marks_key(each.campaign_id) for each in asked)]
        seen = await self._answer(keys, arguments)
        return [
            {each.first + at: attempt for at, attempt in zip(pairs[::2], pairs[1::2], strict=True)}
            for each, pairs in zip(asked, seen, strict=True)
        ]

    async def _answer(self, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        waits = iter(self._ask_again_seconds)
        while True:
            try:
                with _translated():
                    return await self._script(keys=keys, args=arguments)
            except WitnessUnavailable:
                wait_seconds = next(waits, None)
                if wait_seconds is None:
                    raise
            await asyncio.sleep(wait_seconds)

    async def last_seen(self) -> Whereabouts | None:
        """As `Witness.last_seen`."""
        with _translated():
            said: list[Any] = await self._redis.hmget(SEEN_KEY, ["identity", "position", "is_synchronous"])
        identity, position, is_synchronous = said
        if identity is None:
            return None
        system, database, timeline = identity.decode().split("/")
        return Whereabouts(
            system, int(database), int(timeline), int(position), is_synchronous=is_synchronous == b"1"
        )

    async def remember(self, before: Whereabouts | None, now: Whereabouts) -> None:
        """As `Witness.remember`."""
        identity, position = ("", "") if before is None else (before.identity, before.position)
        arguments: list[str | int] = [
            *(identity, now.identity, now.position, int(now.is_synchronous)),
            position,
        ]
        with _translated():
            await self._see(keys=[SEEN_KEY], args=arguments)

    async def since(self) -> datetime | None:
        """As `Witness.since`."""
        with _translated():
            since = await self._redis.hget(SEEN_KEY, "since")
        return None if since is None else datetime.fromtimestamp(int(since), UTC)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        why = f"Redis did not say whether it left before: {type(error).__name__}"
        raise WitnessUnavailable(why) from error
