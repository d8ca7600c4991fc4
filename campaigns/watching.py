"""Whether workers and beat are working on what is due: their signs of life, and what they mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.store import watching as pulse
from campaigns.store.session import Database
from campaigns.store.watching import Doubt, Work

PULSE_SECONDS = 10.0
"""How often a worker says that it lives."""

ALIVE_SECONDS = 60.0
"""A process that was not seen for so long does not work: it missed six pulses."""

TICK_ALIVE_SECONDS = 30.0
"""At least so long; ticks may be set to come more rarely."""

_RECEIPT_SECONDS = 60.0  # a receipt that waits longer is worth a remark


@dataclass(frozen=True, slots=True)
class Working:
    """What was seen, and what it means."""

    work: Work
    tick_seconds: float

    @property
    def due_since(self) -> datetime | None:
        """Since when the oldest of what is due waits; None where nothing is due."""
        work = self.work
        known = (work.to_send_since, work.to_poll_since, work.lease_over_since, work.receipt_since)
        return min((moment for moment in known if moment is not None), default=None)

    def age(self, moment: datetime | None) -> float | None:
        """How many seconds ago a moment of it was, by the database's clock."""
        return None if moment is None else max(0.0, (self.work.now - moment).total_seconds())

    def trouble(self) -> str | None:
        """Why nobody works on what is due, in one sentence; None where somebody does or nothing is due."""
        return next(self._troubles(), None) if self.due_since is not None else None

    def idle(self) -> str | None:
        """Who is missing, whether or not anything is due; None where all are there."""
        return next(self._missing(), None)

    @property
    def has_begun(self) -> bool:
        """Whether anybody works, or a tick ever came."""
        return self.work.worker_count > 0 or self.work.ticked_at is not None

    def _troubles(self) -> Iterator[str]:
        yield from self._missing()
        receipt = self.age(self.work.receipt_since)
        if receipt is not None and receipt > _RECEIPT_SECONDS:
            yield f"the oldest receipt waits for {seconds_text(receipt)} to be merged: see the worker's log"

    def _missing(self) -> Iterator[str]:
        work = self.work
        worker, tick = self.age(work.worker_seen_at), self.age(work.ticked_at)
        if work.worker_count == 0:
            when = "no worker was seen yet" if worker is None else f"no worker for {seconds_text(worker)}"
            yield f"{when}: is `celery -A worker.app worker` running?"
        elif tick is None or tick > max(TICK_ALIVE_SECONDS, 5 * self.tick_seconds):
            when = "no tick yet" if tick is None else f"no tick for {seconds_text(tick)}"
            yield f"{when}: is `celery -A worker.app beat` running, and does Redis take what it writes?"


def seconds_text(seconds: float) -> str:
    """A duration as people say it: 94 s, 12 min, 5 h, 3 days."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


async def working(database: Database, *, tick_seconds: float) -> Working:
    """Whether anybody works on what is due. Raises DatabaseUnavailable."""
    return Working(await pulse.work(database, alive_seconds=ALIVE_SECONDS), tick_seconds)


def as_json(found: Working) -> dict[str, Any]:
    """The public object of `status --json`; other programs rely on it."""

    def text(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    work = found.work
    return {
        "last_tick_at": text(work.ticked_at),
        "worker_seen_at": text(work.worker_seen_at),
        "worker_count": work.worker_count,
        "due_since": text(found.due_since),
        "trouble": found.trouble(),
    }


async def ticked(database: Database, *, beat: str | None) -> None:
    """A tick has done its work; `beat`: who sent it, as host:pid."""
    pulses: list[tuple[pulse.Kind, str]] = [("tick", "tick")]
    if beat:
        pulses.append(("beat", beat))
    await pulse.seen(database, pulses)


async def worker_lives(database: Database, name: str) -> None:
    """A worker says that it lives, every PULSE_SECONDS."""
    await pulse.seen(database, [("worker", name)])


async def worker_ends(database: Database, name: str) -> None:
    """A worker ends."""
    await pulse.gone(database, "worker", name)


async def signs(database: Database) -> pulse.Signs:
    """The ages of the oldest receipt that is due and of the last tick, for a process that only stores
    receipts.
    """
    return await pulse.signs(database)


async def doubt(database: Database) -> Doubt:
    """Messages in doubt over all campaigns, and since when."""
    return await pulse.doubt(database)


async def left_before(database: Database, moment: datetime | None, *, give_up_seconds: float) -> int:
    """How many campaigns that are not over handed something over before a moment; None: ever."""
    return await pulse.left_before(database, moment, give_up_seconds=give_up_seconds)


async def alive(database: Database, kind: pulse.Kind, host: str) -> float | None:
    """How long ago a worker or beat of `host` was seen; None: never."""
    return await pulse.seconds_since(database, kind, host)
