"""The second witness of a hand-over: what it is asked, and what it means when it knows better. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from campaigns.lazy_imports import lazy_imports

with lazy_imports(__name__):  # SQL takes a sentence from here; outcomes are for who hands over
    from campaigns.domain import provider

if TYPE_CHECKING:
    from campaigns.domain.provider import InDoubt


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Which database PostgreSQL is, and how much it has written.

    `timeline` counts its failovers and restores, `position` the bytes of its WAL that are safe on disk.
    `is_synchronous`: what it confirmed, a standby has as well.
    """

    system: str
    database: int
    timeline: int
    position: int
    is_synchronous: bool = False

    @property
    def identity(self) -> str:
        """What stays the same as long as nothing was restored and no standby took over."""
        return f"{self.system}/{self.database}/{self.timeline}"


_THEN = (
    "it may have forgotten what was sent: see 'PostgreSQL went back in time' in docs/operating.md, then "
    "`campaigns resume --all-accounts`"
)


def went_back(before: Whereabouts | None, known: str | None, now: Whereabouts) -> str | None:
    """Why a database may have forgotten what it confirmed, in one sentence; None where it has not.

    Takes where Redis saw it last, as which one it knows itself (`Whereabouts.identity`), and where it is now.
    A standby that took over is believed where it was a synchronous one.
    """
    if before is not None and (before.system, before.database) != (now.system, now.database):
        return f"PostgreSQL is another database than before, restored or copied; {_THEN}"
    if before is not None and before.timeline == now.timeline and before.position > now.position:
        behind = before.position - now.position
        return f"PostgreSQL stands {behind} bytes before where it stood, put back to an older state; {_THEN}"
    took_over = before is not None and before.timeline != now.timeline
    if before is not None and took_over and before.is_synchronous and known in {None, before.identity}:
        return None
    if took_over or (known is not None and known != now.identity):
        return f"another PostgreSQL has taken over, a standby or one that was restored; {_THEN}"
    return None


class Witness(Protocol):
    """Remembers, apart from the database, which attempt of each message was let go, and by which database.

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

    async def last_seen(self) -> Whereabouts | None:
        """Where the database was seen last; None: not yet. Raises WitnessUnavailable."""
        ...

    async def remember(self, before: Whereabouts | None, now: Whereabouts) -> None:
        """Note where the database was seen, unless another saw it after `before` was read and says otherwise.

        Raises WitnessUnavailable.
        """
        ...

    async def since(self) -> datetime | None:
        """Since when it remembers, aware; None: it does not yet. Raises WitnessUnavailable."""
        ...


def left_before(attempt: int) -> "InDoubt":
    """What becomes of a message that PostgreSQL says was never let go, and Redis knows better."""
    return provider.InDoubt(f"Redis saw attempt {attempt} leave, PostgreSQL had forgotten it")


LEFT_BEFORE = "Redis saw attempt %"
"""SQL's LIKE of the reason of what is in doubt by that: it may have left at any time since its campaign was
taken in, not just before its intent was written.
"""
