"""Which batches are worked on next, and when. One statement for many batches, fair over campaigns."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable, NotAllowed, no_such_campaign
from campaigns.domain.schedule import Schedule, check_schedule
from campaigns.domain.states import CAMPAIGN_MOVES, OPEN, CampaignState
from campaigns.store.conditions import IS_LEASED_BY_ID, IS_READY
from campaigns.store.law import sum_of
from campaigns.store.leases import Dealt
from campaigns.store.session import CHANNEL, Database
from campaigns.store.tally import Release, let_go


async def deal_sending(
    database: Database,
    *,
    in_flight: int,
    of_account: Mapping[str, int],
    lease_seconds: float,
    most: int | None = None,
) -> list[Dealt]:
    """Lease the batches to be handed over next, fairly over campaigns: at most `in_flight`
    under lease at once, and of each account at most what `of_account` says (an account that is not in
    it: none). `most`: at most so many now (None: as many as may be). Any number may deal at once: no batch is
    dealt twice.
    """
    return await _deal(database, "deal_sending", in_flight, of_account, lease_seconds, most)


async def deal_polling(
    database: Database,
    *,
    in_flight: int,
    of_account: Mapping[str, int],
    lease_seconds: float,
    most: int | None = None,
) -> list[Dealt]:
    """Lease the batches to be polled next; otherwise like `deal_sending`."""
    return await _deal(database, "deal_polling", in_flight, of_account, lease_seconds, most)


async def _deal(
    database: Database,
    function: str,
    in_flight: int,
    of_account: Mapping[str, int],
    lease_seconds: float,
    most: int | None,
) -> list[Dealt]:
    wanted = {
        "in_flight": in_flight,
        "most": most,
        "lease_seconds": lease_seconds,
        "accounts": [{"name": name, "most": of_it} for name, of_it in of_account.items()],
    }
    async with database.connection() as connection:
        records = await connection.fetch(f"SELECT * FROM {function}($1)", json.dumps(wanted))
    return [Dealt(record["batch_id"], record["batch_lease"]) for record in records]


# Batches under a lease are not held back. A batch with messages at the provider keeps its deadline if that is
# later.
_RESCHEDULE = f"""
    UPDATE batch b SET send_at = n.at, give_up_at = CASE
        WHEN {sum_of(OPEN, "b")} = 0
        THEN n.at + make_interval(secs => $3)
        ELSE greatest(b.give_up_at, n.at + make_interval(secs => $3)) END
    FROM (SELECT greatest($2::timestamptz, now()) AS at) n
    WHERE b.id IN (SELECT b.id FROM batch b WHERE b.campaign_id = $1 AND {IS_READY}
                   ORDER BY b.id FOR NO KEY UPDATE OF b)
    RETURNING b.queued_count
"""


async def reschedule(
    database: Database, campaign_id: UUID, wanted: Schedule, *, give_up_seconds: float
) -> int:
    """Have what is still queued wait until `send_at`; its deadline is counted from there. A `not_after` of
    None keeps what the campaign has. Gives how many messages wait, in one transaction.

    Raises NotFound, NotAllowed for a campaign that is over, and ScheduleError.
    """
    async with database.transaction() as connection:
        found = await connection.fetchrow(
            "SELECT state::text AS state, not_after, now() AS now FROM campaign WHERE id = $1"
            " FOR NO KEY UPDATE",
            campaign_id,
        )
        if found is None:
            raise no_such_campaign(campaign_id)
        if CampaignState(found["state"]) not in CAMPAIGN_MOVES:
            raise NotAllowed(f"campaign {campaign_id} is {found['state']}; it cannot be rescheduled")
        schedule = Schedule(wanted.send_at, wanted.not_after or found["not_after"])
        check_schedule(schedule, found["now"])
        await connection.execute(
            "UPDATE campaign SET send_at = $2, not_after = $3 WHERE id = $1",
            campaign_id,
            schedule.send_at,
            schedule.not_after,
        )
        records = await connection.fetch(_RESCHEDULE, campaign_id, schedule.send_at, give_up_seconds)
        await connection.execute(f"NOTIFY {CHANNEL}")  # it may be due at once
    return sum(record["queued_count"] for record in records)


async def take_back(database: Database, dealt: Sequence[Dealt]) -> int:
    """Take back leases that nobody took up, before their time. Gives how many.

    A task that comes later with such a lease finds it gone and does nothing.
    """
    async with database.transaction() as connection:
        records = await connection.fetch(
            "SELECT b.id FROM batch b JOIN unnest($1::bigint[], $2::int[]) AS d(id, lease)"
            f" ON d.id = b.id AND d.lease = b.lease WHERE {IS_LEASED_BY_ID} AND b.leased_by IS NULL"
            " ORDER BY b.id FOR NO KEY UPDATE OF b SKIP LOCKED",
            [each.batch_id for each in dealt],
            [each.lease for each in dealt],
        )
        if records:
            await let_go(connection, dict.fromkeys((record["id"] for record in records), Release()))
    return len(records)


async def taken_in(database: Database) -> AsyncIterator[None]:
    """Yields whenever a process took campaigns in, and once at the start for those of before.

    Uses a connection of its own. What it misses is found by the next tick. Raises DatabaseUnavailable when
    the connection ends.
    """
    async with database.own_connection() as connection:
        heard = asyncio.Event()
        heard.set()

        def hear(*_: object) -> None:
            heard.set()

        connection.add_termination_listener(hear)
        await connection.add_listener(CHANNEL, hear)
        while not connection.is_closed():
            await heard.wait()
            heard.clear()
            yield
    raise DatabaseUnavailable("PostgreSQL closed the connection that listens for campaigns")
