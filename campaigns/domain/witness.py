"""The second witness of a hand-over: what it is asked, and what it means when it knows better. Pure."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from campaigns.domain.provider import InDoubt


class Witness(Protocol):
    """Remembers, apart from the database, which attempt of each message was let go.

    A message is named by its campaign, its batch's number in it, and its position there: a database that was
    restored gives other ids. Attempts count from 1.
    """

    async def mark(self, campaign_id: UUID, number: int, attempts: Mapping[int, int]) -> Mapping[int, int]:
        """Note that these attempts leave now, by position. Gives which attempt left last of those that must
        not leave: it is the same or a later one. Raises WitnessUnavailable: then nothing may leave.
        """
        ...

    async def take_back(self, campaign_id: UUID, number: int, attempts: Mapping[int, int]) -> None:
        """Note that of these attempts certainly nothing was taken, so that they may be made again.

        Raises WitnessUnavailable: then whether it was noted is not known.
        """
        ...


def left_before(attempt: int) -> InDoubt:
    """What becomes of a message that PostgreSQL says was never let go, and Redis knows better."""
    return InDoubt(f"Redis saw attempt {attempt} leave, PostgreSQL had forgotten it")


LEFT_BEFORE = "Redis saw attempt %"
"""SQL's LIKE of the reason of what is in doubt by that: it may have left at any time since its campaign was
taken in, not just before its intent was written.
"""
