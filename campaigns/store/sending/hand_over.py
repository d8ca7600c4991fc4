"""Handing over: take a batch up, write the intent of a request, write its answers, give the lease back.

Set-based: a constant number of statements whatever is in a batch, and one group of them for all batches of a
process that come at the same time (`grouping`).
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from campaigns.domain.states import BatchState, MessageState
from campaigns.domain.values import value
from campaigns.store.conditions import IS_LEASED_BY_ID, IS_QUEUED, may_be_sent
from campaigns.store.grouping import grouped
from campaigns.store.law import quoted
from campaigns.store.leases import (
    Holder,
    Lease,
    TakeUp,
    held_group,
    hold,
    holder_values,
    states_of,
    take_up,
    taking_up,
)
from campaigns.store.person import IS_LISTED
from campaigns.store.sending.outcome_rows import OutcomeRow, answer_fields, write_apart
from campaigns.store.session import Connection, Database, numbers
from campaigns.store.tally import Release, release_fields


@value
class Outgoing:
    """A queued message of a batch taken up for sending."""

    position: int
    phone: str
    text: str = field(repr=False)
    attempt: int = 1  # the one that is made now


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
    not_after: datetime | None = None  # nothing of it is handed over later
    has_own_texts: bool = False  # a text for each message, not one for all
    trace_parent: str | None = None  # of its campaign


# Arrays, not rows: a hundred values come at once. Of text: the driver need not look the type up.
_TAKE_UP_SENDING = taking_up(
    "sending",
    "SELECT array_agg(q.position::text) AS positions, array_agg(q.phone) AS phones,"
    " array_agg(q.text) AS texts, array_agg((q.attempt + 1)::text) AS attempts"
    " FROM (SELECT m.position, m.phone, m.text, m.attempt FROM message m"
    f" WHERE m.batch_id = t.id AND {IS_QUEUED} ORDER BY m.position) q",
)


@grouped(TakeUp)
async def take_up_sending(database: Database, asked: Sequence[TakeUp]) -> list[SendingWork | None]:
    """Take a dealt lease up. None where it is gone: a repeated or late task."""
    records = await take_up(database, asked, _TAKE_UP_SENDING)
    return [None if record is None else _sending_work(record) for record in records]


def _sending_work(record: asyncpg.Record) -> SendingWork:
    common = record["text"]
    return SendingWork(
        record["id"],
        record["lease"],
        record["campaign_id"],
        record["number"],
        record["account"],
        record["sender_id"],
        record["retry_count"],
        [
            Outgoing(int(position), phone, common if own is None else own, int(attempt))
            for position, phone, own, attempt in zip(
                record["positions"] or (),
                record["phones"] or (),
                record["texts"] or (),
                record["attempts"] or (),
                strict=True,
            )
        ],
        not_after=record["not_after"],
        has_own_texts=any(own is not None for own in record["texts"] or ()),
        trace_parent=record["trace_parent"],
    )


# One statement, committed when it returns. It locks the batch first; PostgreSQL checks rows that changed
# meanwhile again. The tally is adjusted by what moved: from queued to sending, or to suppressed where a
# number was added to the list. Every other change counts the batch again. The campaign is asked for in a
# subquery: joined, all of its batches might be read.
_BEGIN = f"""
    WITH held AS (
        SELECT b.id, a.lease_seconds, a.positions::smallint[] AS positions FROM batch b
        JOIN unnest($1::text::bigint[], $2::text::int[], $3::text[], $4::text::float8[], $5::text[])
            AS a(id, lease, worker, lease_seconds, positions)
            ON a.id = b.id AND a.lease = b.lease AND a.worker = b.leased_by
        WHERE b.id = ANY ($1::text::bigint[]) AND {IS_LEASED_BY_ID}
          AND b.leased_until > now() AND b.give_up_at > now()
          AND (SELECT {may_be_sent("b.account")} FROM campaign c WHERE c.id = b.campaign_id)
        ORDER BY b.id FOR NO KEY UPDATE OF b
    ),
    listed AS MATERIALIZED (
        SELECT m.batch_id, m.position, s.reason
        FROM held
        JOIN message m ON m.batch_id = held.id AND m.position = ANY (held.positions)
        JOIN suppression s ON {IS_LISTED.format(phone="m.phone")}
        WHERE (SELECT EXISTS (SELECT FROM suppression)) AND {IS_QUEUED}
    ),
    kept AS (
        UPDATE message m SET updated_at = now(), state = {quoted(MessageState.SUPPRESSED)},
            reason = coalesce(l.reason, m.reason)
        FROM listed l WHERE m.batch_id = l.batch_id AND m.position = l.position AND {IS_QUEUED}
        RETURNING m.batch_id, m.position, m.state
    ),
    begun AS (
        UPDATE message m SET updated_at = now(), state = 'sending', attempt = m.attempt + 1
        FROM held
        WHERE m.batch_id = held.id AND m.position = ANY (held.positions) AND {IS_QUEUED}
          AND NOT EXISTS (SELECT FROM listed l WHERE l.batch_id = m.batch_id AND l.position = m.position)
        RETURNING m.batch_id, m.position, m.state
    ),
    moved AS (SELECT * FROM kept UNION ALL SELECT * FROM begun),
    counted AS (
        SELECT batch_id, array_agg(position::text) FILTER (WHERE state = 'sending') AS positions,
               count(*) AS n, count(*) FILTER (WHERE state = 'suppressed') AS suppressed
        FROM moved GROUP BY batch_id
    )
    UPDATE batch b SET leased_until = now() + make_interval(secs => held.lease_seconds),
        queued_count = b.queued_count - coalesce(n.n, 0),
        sending_count = b.sending_count + coalesce(n.n - n.suppressed, 0),
        suppressed_count = b.suppressed_count + coalesce(n.suppressed, 0)
    FROM held LEFT JOIN counted n ON n.batch_id = held.id
    WHERE b.id = held.id
    RETURNING b.id, n.positions
"""


@value
class _Intent:
    work: SendingWork
    positions: Sequence[int]
    _: KW_ONLY
    worker: str
    lease_seconds: float
    at_once: bool = False  # another batch waits for the slot of this one: no wait for other intents

    @property
    def holder(self) -> Holder:
        return Holder(self.work.batch_id, self.work.lease, self.worker)


@grouped(_Intent, at_once=lambda intent: intent.at_once)
async def begin_hand_over(database: Database, asked: Sequence[_Intent]) -> list[frozenset[int] | None]:
    """Write the intent down: these messages are `sending`, committed before the request leaves.

    Renews the lease. Gives the positions that may leave: those still queued, for a receipt may have come
    for one that was in doubt before, and not on the suppression list, which settles them as `suppressed`.
    None when none may: the lease is not ours any more, the deadline passed, the campaign is paused,
    cancelled, on hold or past its `not_after`, or the account is on hold.
    """
    async with database.connection() as connection:
        records = await connection.fetch(
            _BEGIN,
            *holder_values([each.holder for each in asked]),
            numbers(each.lease_seconds for each in asked),
            [numbers(each.positions) for each in asked],
        )
    begun = {record["id"]: frozenset(map(int, record["positions"] or ())) for record in records}
    return [begun.get(each.work.batch_id) for each in asked]


# The database functions (functions/*.sql) lock the rows, check the leases, and write for valid ones alone. A
# whole group is one call, so that no transaction stays open while our event loop is busy.
@value
class _Answers:
    work: SendingWork
    rows: Sequence[OutcomeRow]
    _: KW_ONLY
    worker: str
    give_up_in_seconds: float | None

    @property
    def holder(self) -> Holder:
        return Holder(self.work.batch_id, self.work.lease, self.worker)


async def _write_apart(database: Database, asked: _Answers) -> bool:
    """Write each answer by itself: PostgreSQL refused one of them."""
    async with database.transaction() as connection:
        if not await hold(connection, asked.holder):
            return False
        await write_apart(connection, asked.work.batch_id, asked.rows)
        return bool(await _write_on(connection, [replace(asked, rows=())]))


@grouped(_Answers, alone=_write_apart)
async def write_outcomes(database: Database, asked: Sequence[_Answers]) -> list[bool]:
    """Write the answers of one request, keeping the lease. False: the lease is not ours any more and nothing
    was written; the messages stay `sending` until rescue puts them in doubt.

    One answer that PostgreSQL refuses stops no other: see `write_apart`.
    """
    async with database.connection() as connection:
        held = await _write_on(connection, asked)
    return [str(each.work.batch_id) in held for each in asked]


async def _write_on(connection: Connection, asked: Sequence[_Answers]) -> Sequence[str]:
    group = held_group(
        [each.holder for each in asked],
        [
            {"give_up_in": each.give_up_in_seconds, "answers": [answer_fields(row) for row in each.rows]}
            for each in asked
        ],
    )
    held: Sequence[str] = await connection.fetchval("SELECT write_outcomes($1)::text[]", group)
    return held


@value
class _Return:
    work: Lease
    how: Release
    _: KW_ONLY
    worker: str
    rows: Sequence[OutcomeRow] = ()

    def on(self, rows: Sequence[OutcomeRow]) -> tuple[Holder, Sequence[OutcomeRow], Release]:
        holder = Holder(self.work.batch_id, self.work.lease, self.worker)
        return holder, rows, replace(self.how, crash_count=0)


async def _release_apart(database: Database, asked: _Return) -> BatchState | None:
    """Write each last answer by itself: PostgreSQL refused one of them."""
    returned = asked.on(())
    async with database.transaction() as connection:
        if not await hold(connection, returned[0]):
            return None
        await write_apart(connection, asked.work.batch_id, asked.rows)
        (state,) = await write_and_let_go(connection, [returned])
        return state


@grouped(_Return, alone=_release_apart)
async def release(database: Database, asked: Sequence[_Return]) -> list[BatchState | None]:
    """Write the last answers down (if any) and give the lease back, in one transaction.

    Gives the batch's new state, None when the lease is not ours any more (nothing was written).
    """
    async with database.connection() as connection:
        return await write_and_let_go(connection, [each.on(each.rows) for each in asked])


async def write_and_let_go(
    connection: Connection, asked: Sequence[tuple[Holder, Sequence[OutcomeRow], Release]]
) -> list[BatchState | None]:
    """One call for a group. Gives each batch's new state, None where the lease is not the holder's."""
    holders = [who for who, _, _ in asked]
    group = held_group(
        holders,
        [{"answers": [answer_fields(row) for row in rows], **release_fields(how)} for _, rows, how in asked],
    )
    records = await connection.fetch("SELECT * FROM release_batches($1)", group)
    return states_of(holders, records)
