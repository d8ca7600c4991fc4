"""Batches: how large, and which is handed over next.

Recipients are cut into batches when the campaign is stored (equal texts side by side, at most
`BATCH_SIZE` a batch); from then on dealing decides which batch is worked on next. The database is the
queue of record: a task that is lost, repeated or late does no harm.
"""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from campaigns.domain.metrics import BATCHES_DEALT
from campaigns.domain.policy import Desk, Policy
from campaigns.domain.schedule import Schedule
from campaigns.store import batching as rows
from campaigns.store import grouping
from campaigns.store.leases import Dealt
from campaigns.store.session import Database


async def deal_sending(database: Database, desk: Desk, *, most: int | None = None) -> list[Dealt]:
    """Deal out batches to be handed over: round-robin over campaigns, a bounded number in flight, and at most
    `most` (None: as many as may be).

    Two dealers at once do no harm. What is dealt and not taken up in time is dealt again by rescue.
    """
    dealt = await rows.deal_sending(
        database,
        in_flight=desk.policy.in_flight_batches,
        of_account={name: account.in_flight for name, account in desk.accounts.items()},
        lease_seconds=desk.policy.lease_seconds,
        most=most,
    )
    desk.meter.count(BATCHES_DEALT, len(dealt), "sending")
    return dealt


async def deal_polling(database: Database, desk: Desk, *, most: int | None = None) -> list[Dealt]:
    """Deal out batches to be polled: like `deal_sending`, with another bound."""
    dealt = await rows.deal_polling(
        database,
        in_flight=desk.policy.in_flight_batches,
        of_account={
            name: account.polls_in_flight or account.in_flight for name, account in desk.accounts.items()
        },
        lease_seconds=desk.policy.lease_seconds,
        most=most,
    )
    desk.meter.count(BATCHES_DEALT, len(dealt), "polling")
    return dealt


async def reschedule(database: Database, policy: Policy, campaign_id: UUID, schedule: Schedule) -> int:
    """Have what a campaign has not handed over yet wait until `send_at`, or go at once where that is None.

    A `not_after` of None keeps what it has. Gives how many messages wait. What is being handed over at this
    moment is not held back. Raises NotFound, NotAllowed, and ScheduleError for moments that cannot be meant.
    """
    return await rows.reschedule(database, campaign_id, schedule, give_up_seconds=policy.give_up_seconds)


async def take_back(database: Database, dealt: Sequence[Dealt]) -> int:
    """Take back what was dealt and could not be made tasks, so that it is dealt again before its lease ends.

    Gives how many leases. Safe also where a task was made after all: it then finds its lease gone.
    """
    return await rows.take_back(database, dealt)


async def make_ready(database: Database) -> None:
    """Prepare the database's connections and plans for batches before the first comes. Changes no data.
    Raises DatabaseUnavailable.
    """
    await grouping.prepare(database)


def taken_in(database: Database) -> AsyncIterator[None]:
    """Yields whenever a new campaign may have batches to deal. Raises DatabaseUnavailable when it can no
    longer listen; the tick deals what it misses.
    """
    return rows.taken_in(database)
