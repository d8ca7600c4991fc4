"""Dealing: which batches are worked on next. One statement for many batches, fair over campaigns."""

from collections.abc import Mapping

from campaigns.domain.states import UNLEASED
from campaigns.store.conditions import may_be_sent
from campaigns.store.law import in_list
from campaigns.store.sending.batch import Dealt
from campaigns.store.session import Database, numbers

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
        SELECT campaign_id, account, count(*) AS n FROM batch
        WHERE state = 'leased' AND leased_for = '{kind}' AND leased_until > now()
        GROUP BY campaign_id, account
    ),
    taken AS (SELECT account, sum(n) AS n FROM flight GROUP BY account),
    free AS (SELECT greatest($1 - coalesce(sum(n), 0), 0)::int AS n FROM flight),
    turn AS (
        SELECT d.id, a.name AS account, random() AS lot,
               row_number() OVER (PARTITION BY c.id, a.name ORDER BY d.due_at, d.id) + coalesce(f.n, 0)
                   AS turn
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
    place AS (
        SELECT id, turn, lot, account, row_number() OVER (PARTITION BY account ORDER BY turn, lot) AS place
        FROM turn
    ),
    chosen AS (
        SELECT p.id FROM place p
        JOIN account a ON a.name = p.account
        LEFT JOIN taken t ON t.account = p.account
        WHERE p.place + coalesce(t.n, 0) <= a.most
        ORDER BY p.turn, p.lot LIMIT (SELECT n FROM free)
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
# Round-robin by in-flight count: a campaign's next batch of an account has its turn after as many turns as it
# already has in flight there, so a campaign of one batch never waits for one of ten thousand to end. Bounded
# by account too, so that a slow or slowly paced account never holds all that may be in flight. What ran out
# is nobody's and counts no more, though rescue has not come yet. Between equals a lot decides: the oldest
# campaign would otherwise win whenever fewer may be in flight than there are campaigns.
# What was chosen is found by its id when it is locked. Whether it is due still is asked of the state as text,
# which no index of what is due answers: else all that is due would be read for each that was chosen.
_DEAL_SENDING = _DEAL.format(
    kind="sending",
    clock="send_at",
    states="= 'ready'",
    open=may_be_sent("a.name"),
)
# What was handed over is polled to its end, also when the campaign is paused, cancelled or on hold.
_DEAL_POLLING = _DEAL.format(
    kind="polling",
    clock="poll_at",
    states=f"IN {in_list(UNLEASED)}",
    open="true",
)


async def deal_sending(
    database: Database, *, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    """Lease the batches whose turn it is to be handed over, fairly over campaigns: at most `in_flight`
    under lease at once, and of each account at most what `of_account` says (an account that is not in
    it: none). Any number may deal at once: no batch is dealt twice.
    """
    return await _deal(database, _DEAL_SENDING, in_flight, of_account, lease_seconds)


async def deal_polling(
    database: Database, *, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    """Lease the batches whose turn it is to be polled; otherwise like `deal_sending`."""
    return await _deal(database, _DEAL_POLLING, in_flight, of_account, lease_seconds)


async def _deal(
    database: Database, query: str, in_flight: int, of_account: Mapping[str, int], lease_seconds: float
) -> list[Dealt]:
    async with database.transaction() as connection:
        # One dealer at a time: two that count the same places as free would fill them twice. The other
        # need not wait: whatever is due is being dealt.
        if not await connection.fetchval(_ALONE, _DEALERS):
            return []
        records = await connection.fetch(
            query, in_flight, lease_seconds, list(of_account), numbers(of_account.values())
        )
    return [Dealt(record["id"], record["lease"]) for record in records]
