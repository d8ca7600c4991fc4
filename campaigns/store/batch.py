"""Batches: dealing them out, leasing, writing down, letting go. Set-based: a constant number of
statements a batch, whatever its size.

The lease. Dealing marks a batch `leased` and raises its fencing number `lease`; the task that carries
(batch id, lease) takes it up once (`leased_by`), so a repeated, late or lost task is harmless. Every
write of a task goes through `hold_lease`, which locks the row and checks that the lease is still its own: a
worker that was frozen past its lease can neither hand over nor overwrite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol
from uuid import UUID

import asyncpg

from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Connection, Database
from campaigns.store.tally import Release, let_go, recount


@dataclass(frozen=True, slots=True)
class Dealt:
    """A lease given out, not yet taken up: all a task carries."""

    batch_id: int
    lease: int


class Lease(Protocol):
    """A batch under a lease that was taken up, whatever for."""

    @property
    def batch_id(self) -> int: ...
    @property
    def lease(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A queued message of a batch taken up for sending."""

    position: int
    row: int
    phone: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendingWork:
    """A batch taken up for handing over."""

    batch_id: int
    lease: int
    campaign_id: UUID
    number: int  # of the batch in its campaign
    account: str
    sender_id: str
    retry_count: int
    messages: Sequence[Outgoing]


@dataclass(frozen=True, slots=True)
class Written:
    """One message's outcome, as it is written down."""

    position: int
    state: MessageState
    provider_message_id: str | None = None
    provider_state: str | None = None
    cost: Decimal | None = None
    segment_count: int | None = None
    reason: str | None = None
    spends_attempt: bool = True


_DEALERS = 7266484  # any number, not that of store/schema.py

_DEAL = """
    WITH account AS (SELECT name, most FROM unnest($3::text[], $4::int[]) AS a(name, most)),
    flight AS (
        SELECT b.campaign_id, c.account, count(*) AS n
        FROM batch b JOIN campaign c ON c.id = b.campaign_id
        WHERE b.state = 'leased' AND b.leased_for = '{kind}' GROUP BY b.campaign_id, c.account
    ),
    taken AS (SELECT account, sum(n) AS n FROM flight GROUP BY account),
    free AS (SELECT greatest($1 - coalesce(sum(n), 0), 0)::int AS n FROM flight),
    turn AS (
        SELECT d.id, c.account,
               row_number() OVER (PARTITION BY c.id ORDER BY d.due_at, d.id) + coalesce(f.n, 0) AS turn,
               random() AS lot
        FROM campaign c
        JOIN account a ON a.name = c.account
        LEFT JOIN flight f ON f.campaign_id = c.id
        CROSS JOIN LATERAL (
            SELECT b.id, b.{clock} AS due_at FROM batch b
            WHERE b.campaign_id = c.id AND {due}
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
        SELECT b.id FROM batch b WHERE b.id IN (SELECT id FROM chosen) AND {due}
        ORDER BY b.id FOR NO KEY UPDATE SKIP LOCKED
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
# Round-robin by in-flight count: a campaign's next batch has its turn after as many turns as it already
# has in flight, so a campaign of one batch never waits for one of ten thousand to end. Bounded by account
# too, so that a slow or slowly paced account never holds all the places. Between equals a lot decides: the
# oldest campaign would otherwise win whenever there are fewer places than campaigns.
_DEAL_SENDING = _DEAL.format(
    kind="sending",
    clock="send_at",
    due="b.state = 'ready' AND b.send_at <= now()",
    open="c.state IN ('accepted', 'running')"
    " AND NOT EXISTS (SELECT 1 FROM account_hold h WHERE h.account = c.account)",
)
# What was handed over is polled to its end, also when the campaign is paused, cancelled or on hold.
_DEAL_POLLING = _DEAL.format(
    kind="polling",
    clock="poll_at",
    due="b.poll_at IS NOT NULL AND b.state IN ('ready', 'tracking') AND b.poll_at <= now()",
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
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _DEALERS):
            return []
        records = await connection.fetch(
            query, in_flight, lease_seconds, list(of_account), list(of_account.values())
        )
    return [Dealt(record["id"], record["lease"]) for record in records]


_TAKE_UP = """
    UPDATE batch b SET leased_by = $3, leased_until = now() + make_interval(secs => $4)
    FROM campaign c
    WHERE b.id = $1 AND b.lease = $2 AND b.state = 'leased' AND b.leased_by IS NULL
      AND b.leased_for = $5 AND b.leased_until > now() AND c.id = b.campaign_id
    RETURNING b.campaign_id, b.number, c.account, c.sender_id, c.text, b.retry_count, b.poll_count
"""


async def take_up(
    connection: Connection, dealt: Dealt, worker: str, lease_seconds: float, kind: str
) -> asyncpg.Record | None:
    """Make a dealt lease one's own, for `sending` or `polling`. None when it is not (any more) to be had."""
    return await connection.fetchrow(_TAKE_UP, dealt.batch_id, dealt.lease, worker, lease_seconds, kind)


async def take_up_sending(
    database: Database, dealt: Dealt, *, worker: str, lease_seconds: float
) -> SendingWork | None:
    """Make a dealt lease one's own. None when it is not (any more) to be had: a repeated or late task."""
    async with database.transaction() as connection:
        record = await take_up(connection, dealt, worker, lease_seconds, "sending")
        if record is None:
            return None
        messages = await connection.fetch(
            "SELECT position, row, phone, coalesce(text, $2) AS text FROM message"
            " WHERE batch_id = $1 AND state = 'queued' ORDER BY position",
            dealt.batch_id,
            record["text"],
        )
    return SendingWork(
        dealt.batch_id,
        dealt.lease,
        record["campaign_id"],
        record["number"],
        record["account"],
        record["sender_id"],
        record["retry_count"],
        [Outgoing(m["position"], m["row"], m["phone"], m["text"]) for m in messages],
    )


async def hold_lease(connection: Connection, batch_id: int, lease: int, worker: str) -> bool:
    """Lock the batch and say whether the lease is still ours. First statement of every write."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM batch WHERE id = $1 AND lease = $2 AND leased_by = $3"
            " AND state = 'leased' FOR NO KEY UPDATE",
            batch_id,
            lease,
            worker,
        )
    )


async def begin_hand_over(
    database: Database,
    work: SendingWork,
    positions: Sequence[int],
    *,
    worker: str,
    lease_seconds: float,
) -> frozenset[int] | None:
    """Write the intent down: these messages are `sending`, committed before the request leaves.

    Renews the lease. Gives the positions that may leave: those still queued, for a receipt may have come
    for one that was in doubt before. None when none may: the lease is not ours any more, the deadline
    passed, the campaign is paused or cancelled, or the account is on hold.
    """
    async with database.transaction() as connection:
        held = await connection.fetchval(
            "UPDATE batch b SET leased_until = now() + make_interval(secs => $4)"
            " FROM campaign c WHERE b.id = $1 AND b.lease = $2 AND b.leased_by = $3"
            " AND b.state = 'leased' AND b.leased_until > now() AND b.give_up_at > now()"
            " AND c.id = b.campaign_id AND c.state IN ('accepted', 'running')"
            " AND NOT EXISTS (SELECT 1 FROM account_hold h WHERE h.account = c.account)"
            " RETURNING true",
            work.batch_id,
            work.lease,
            worker,
            lease_seconds,
        )
        if not held:
            return None
        moved = await connection.fetch(
            "UPDATE message SET state = 'sending', attempt = attempt + 1, updated_at = now()"
            " WHERE batch_id = $1 AND position = ANY($2::smallint[]) AND state = 'queued' RETURNING position",
            work.batch_id,
            positions,
        )
        await recount(connection, [work.batch_id])
    return frozenset(record["position"] for record in moved)


# A receipt may have outrun the answer: then the message is already higher, and keeps its state.
_WRITE_OUTCOMES = """
    UPDATE message m SET
        state = CASE WHEN m.state = 'sending' THEN w.state ELSE greatest(m.state, w.state) END,
        provider_message_id = coalesce(w.provider_message_id, m.provider_message_id),
        -- The word on an earlier attempt is no word on this one.
        provider_state = CASE WHEN m.state = 'sending' THEN w.provider_state
                              ELSE coalesce(m.provider_state, w.provider_state) END,
        cost = coalesce(w.cost, m.cost),
        segment_count = coalesce(w.segment_count, m.segment_count),
        reason = w.reason,
        attempt = m.attempt - CASE WHEN w.spends_attempt OR m.state <> 'sending' THEN 0 ELSE 1 END,
        updated_at = now()
    FROM unnest($2::smallint[], $3::message_state[], $4::text[], $5::text[], $6::numeric[],
                $7::smallint[], $8::text[], $9::bool[])
         AS w(position, state, provider_message_id, provider_state, cost, segment_count, reason,
              spends_attempt)
    WHERE m.batch_id = $1 AND m.position = w.position AND m.state >= 'sending'
"""


async def write_outcomes(
    database: Database,
    work: SendingWork,
    written: Sequence[Written],
    *,
    worker: str,
    give_up_in_seconds: float | None,
) -> bool:
    """Write the answers of one request down, keeping the lease. False: it is not ours any more, and
    nothing was written; the messages stay `sending` until rescue puts them in doubt.
    """
    async with database.transaction() as connection:
        if not await hold_lease(connection, work.batch_id, work.lease, worker):
            return False
        await _write(connection, work.batch_id, written)
        await recount(connection, [work.batch_id], give_up_in_seconds=give_up_in_seconds)
    return True


async def _write(connection: Connection, batch_id: int, written: Sequence[Written]) -> None:
    await connection.execute(
        _WRITE_OUTCOMES,
        batch_id,
        [w.position for w in written],
        [w.state for w in written],
        [w.provider_message_id for w in written],
        [w.provider_state for w in written],
        [w.cost for w in written],
        [w.segment_count for w in written],
        [w.reason for w in written],
        [w.spends_attempt for w in written],
    )


async def release(
    database: Database,
    work: Lease,
    how: Release,
    *,
    worker: str,
    written: Sequence[Written] = (),
) -> BatchState | None:
    """Write the last answers down (if any) and give the lease back, in one transaction.

    Gives the batch's new state, None when the lease is not ours any more (nothing was written).
    """
    async with database.transaction() as connection:
        if not await hold_lease(connection, work.batch_id, work.lease, worker):
            return None
        if written:
            await _write(connection, work.batch_id, written)
        return await let_go(connection, [work.batch_id], replace(how, crash_count=0))
