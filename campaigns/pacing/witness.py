"""The second witness: what was let go, kept in Redis beside the database that may forget it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from campaigns.domain.errors import WitnessUnavailable
from campaigns.grouping import Grouping

_SCRIPT = files(__package__).joinpath("witness.lua").read_text(encoding="utf-8")
_POSITIONS = 100  # of a batch: a message_ref has two digits for them
_TOP = 255  # the highest attempt a byte counts
_MARGIN_SECONDS = 86_400.0


def marks_key(campaign_id: UUID) -> str:
    """The Redis key of what left of a campaign: a byte a message. It expires by itself."""
    return f"campaigns:left:{campaign_id.hex}"


@dataclass(frozen=True, slots=True)
class _Asked:
    campaign_id: UUID
    number: int
    attempts: Mapping[int, int]


class RedisWitness:
    """Keeps `campaigns.domain.witness.Witness`, for all processes of an installation.

    Takes a Redis client and how long after the last hand-over a message of the same batch may still be handed
    over; marks are kept a day longer. Batches that ask at the same time ask Redis once. Lives on one event
    loop.
    """

    def __init__(self, redis: Redis, *, give_up_seconds: float) -> None:
        self._script = redis.register_script(_SCRIPT)
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
            attempts = [min(attempt, _TOP) for attempt in each.attempts.values()]
            arguments += [_POSITIONS * (each.number - 1), bytes(each.attempts), bytes(attempts)]
        try:
            seen = await self._script(keys=[marks_key(each.campaign_id) for each in asked], args=arguments)
        except (RedisError, OSError) as error:
            raise WitnessUnavailable(
                f"Redis did not say whether it left before: {type(error).__name__}"
            ) from error
        return [dict(zip(each[::2], each[1::2], strict=True)) for each in seen]
