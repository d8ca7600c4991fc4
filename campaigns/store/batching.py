"""Which batches are worked on next, and when. One statement for many batches, fair over campaigns."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable, NotAllowed, no_such_campaign
from campaigns.domain.schedule import Schedule, check_schedule
from campaigns.domain.states import CAMPAIGN_MOVES, OPEN, UNLEASED, BatchState, CampaignState
from campaigns.store.conditions import IS_LEASED, IS_LEASED_BY_ID, IS_READY, may_be_sent
from campaigns.store.law import in_list, quoted, sum_of
from campaigns.store.leases import Dealt
from campaigns.store.session import CHANNEL, Database, numbers
from campaigns.store.tally import Release, let_go

_DEALERS = 7266484  # any number, not that of store/schema.py

# No bitmap scans for a dealer: every lease goes through the index of what is leased. Read in its order, it
# forgets those that are over; read for a bitmap it does not, and reads all since the last VACUUM each time.
# No sorting either, where there is a choice: what is due comes in order out of its own index; a plan that
# takes another index and sorts reads all that is due (seen before there are statistics). And little patience:
# while a process that froze here has the lock, nobody deals.
_ALONE = (
    "SELECT pg_try_advisory_xact_lock($1), set_config('enable_bitmapscan', 'off', true),"
    " set_config('enable_sort', 'off', true), set_config('idle_in_transaction_session_timeout', '3s', true)"
)

_DEAL = """
    WITH account AS (SELECT name, most FROM unnest($3::text[], $4::text::int[]) AS a(name, most)),
    flight AS (
        SELECT b.campaign_id, b.account, count(*) AS n FROM batch b
        WHERE {is_leased} AND b.leased_for = '{kind}' AND b.leased_until > now()
        GROUP BY b.campaign_id, b.account
    ),
    taken AS (SELECT account, sum(n) AS n FROM flight GROUP BY account),
    free AS (SELECT greatest($1 - coalesce(sum(n), 0), 0)::int AS n FROM flight),
    waiting AS (
        SELECT d.id, a.name AS account, random() AS lot,
               row_number() OVER (PARTITION BY c.id, a.name ORDER BY d.due_at, d.id) + coalesce(f.n, 0)
                   AS nth
        FROM campaign c
        CROSS JOIN account a
        LEFT JOIN flight f ON f.campaign_id = c.id AND f.account = a.name
        CROSS JOIN LATERAL (
            SELECT b.id, b.{clock} AS due_at FROM batch b
            WHERE b.campaign_id = c.id AND b.account = a.name AND b.state {states} AND b.{clock} <= now()
            ORDER BY b.{clock}, b.id LIMIT least(a.most, (SELECT n FROM free))
        ) d
        WHERE c.finished_at IS NULL AND {open}
    ),
    ranked AS (
        SELECT id, nth, lot, account, row_number() OVER (PARTITION BY account ORDER BY nth, lot) AS rank
        FROM waiting
    ),
    chosen AS (
        SELECT r.id FROM ranked r
        JOIN account a ON a.name = r.account
        LEFT JOIN taken t ON t.account = r.account
        WHERE r.rank + coalesce(t.n, 0) <= a.most
        ORDER BY r.nth, r.lot LIMIT (SELECT n FROM free)
    ),
    locked AS (
        SELECT b.id FROM batch b WHERE b.id = ANY (ARRAY(SELECT id FROM chosen))
          AND b.state::text {states} AND b.{clock} <= now()
        ORDER BY b.id FOR NO KEY UPDATE OF b SKIP LOCKED
    ),
    dealt AS (
        UPDATE batch b SET state = 'leased', lease = b.lease + 1, leased_for = '{kind}', leased_by = NULL,
               leased_until = now() + make_interval(secs => $2)
        FROM locked WHERE b.id = locked.id
        RETURNING b.id, b.lease, b.campaign_id
    ),
    begun AS (
        UPDATE campaign SET state = 'running'
        WHERE state = 'accepted' AND id IN (SELECT campaign_id FROM dealt) AND '{kind}' = 'sending'
    )
    SELECT id, lease FROM dealt
"""
# Round-robin by in-flight count: the more batches a campaign has in flight on an account, the later its next
# one comes, so a campaign of one batch never waits for one of ten thousand. Bounded by account too, so that a
# slow account never takes all that may be in flight. A lease that ran out counts no more, even before rescue.
# Ties are broken at random: otherwise the oldest campaign would win whenever fewer batches may be in flight
# than there are campaigns.
# The chosen batches are locked by id. That they are still due is checked on the state as text, which no index
# covers: else PostgreSQL would read all due batches for each chosen one.
_DEAL_SENDING = _DEAL.format(
    kind="sending",
    clock="send_at",
    states=f"= {quoted(BatchState.READY)}",
    is_leased=IS_LEASED,
    open=may_be_sent("a.name"),
)
# What was handed over is polled to its end, also when the campaign is paused, cancelled or on hold.
_DEAL_POLLING = _DEAL.format(
    kind="polling",
    clock="poll_at",
    states=f"IN {in_list(UNLEASED)}",
    is_leased=IS_LEASED,
    open="true",
)


async def deal_sending(
    database: Database, *, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    """Lease the batches to be handed over next, fairly over campaigns: at most `in_flight`
    under lease at once, and of each account at most what `of_account` says (an account that is not in
    it: none). Any number may deal at once: no batch is dealt twice.
    """
    return await _deal(database, _DEAL_SENDING, in_flight, of_account, lease_seconds)


async def deal_polling(
    database: Database, *, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    """Lease the batches to be polled next; otherwise like `deal_sending`."""
    return await _deal(database, _DEAL_POLLING, in_flight, of_account, lease_seconds)


async def _deal(
    database: Database, query: str, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    async with database.transaction() as connection:
        # One dealer at a time: two would count the same slots as free and fill them twice. The other need
        # not wait: what is due is being dealt.
        if not await connection.fetchval(_ALONE, _DEALERS):
            return []
        records = await connection.fetch(
            query, in_flight, lease_seconds, list(of_account), numbers(of_account.values())
        )
    return [Dealt(record["id"], record["lease"]) for record in records]


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
