"""Batches taken up for asking: which of their messages, and what was learned of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from campaigns.domain.policy import MOST_ATTEMPTS
from campaigns.domain.states import BatchState, MessageState
from campaigns.domain.values import value
from campaigns.store.batch import Dealt, Holder, hold_leases, take_up, taking_up
from campaigns.store.session import Database, numbers
from campaigns.store.tally import Release, let_go


@value
class InDoubtMessage:
    """A message whose answer was not seen."""

    position: int
    phone: str = field(repr=False)
    since: datetime  # when its intent was written, or when the answer was given up


@dataclass(frozen=True, slots=True)
class PollingWork:
    """A batch taken up for asking; `ids` are the provider's, unsettled messages only."""

    batch_id: int
    lease: int
    campaign_id: UUID
    number: int  # of the batch in its campaign
    account: str
    poll_count: int
    now: datetime  # by the database's clock
    ids: dict[str, int]  # provider_message_id -> position
    in_doubt: Sequence[InDoubtMessage]


@value
class Evidence:
    """A provider's word on one message of a batch. The fields after it: only where it was in doubt."""

    position: int
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None = None
    segment_count: int | None = None
    cost: Decimal | None = None


_TAKE_UP = taking_up(
    "polling",
    "SELECT array_agg(q.position::text) FILTER (WHERE NOT q.is_in_doubt) AS positions,"
    " array_agg(q.provider_message_id) FILTER (WHERE NOT q.is_in_doubt) AS ids,"
    " (json_agg(json_build_array(q.position, q.phone, q.updated_at)) FILTER (WHERE q.is_in_doubt))::text"
    " AS in_doubt"
    " FROM (SELECT position, phone, provider_message_id, updated_at, state = 'in_doubt' AS is_in_doubt"
    " FROM message WHERE batch_id = t.id AND (state = 'in_doubt'"
    " OR (provider_message_id IS NOT NULL AND state IN ('accepted', 'sent', 'buffered')))"
    " ORDER BY position) q",
)


async def take_up_polling(
    database: Database, dealt: Dealt, *, worker: str, lease_seconds: float
) -> PollingWork | None:
    """Like `take_up_sending`, with what is to be asked instead."""
    holder = Holder(dealt.batch_id, dealt.lease, worker)
    return await database.together(_take_up_polling, (holder, lease_seconds))


async def _take_up_polling(
    database: Database, asked: Sequence[tuple[Holder, float]]
) -> list[PollingWork | None]:
    records = await take_up(database, asked, _TAKE_UP)
    return [None if record is None else _polling_work(record) for record in records]


def _polling_work(record: asyncpg.Record) -> PollingWork:
    return PollingWork(
        record["id"],
        record["lease"],
        record["campaign_id"],
        record["number"],
        record["account"],
        record["poll_count"],
        record["now"],
        dict(zip(record["ids"] or (), map(int, record["positions"] or ()), strict=True)),
        [
            InDoubtMessage(position, phone, datetime.fromisoformat(since))
            for position, phone, since in json.loads(record["in_doubt"] or "[]")
        ],
    )


_MERGE = """
    UPDATE message m SET
        state = greatest(m.state, e.state::message_state),
        provider_state = e.provider_state,
        provider_message_id = coalesce(m.provider_message_id, e.provider_message_id),
        segment_count = coalesce(e.segment_count, m.segment_count),
        cost = coalesce(m.cost, e.cost),
        updated_at = now()
    FROM unnest($1::text::bigint[], $2::text::smallint[], $3::text[], $4::text[], $5::text[],
                $6::text::smallint[], $7::text::numeric[])
         AS e(batch_id, position, state, provider_state, provider_message_id, segment_count, cost)
    WHERE m.batch_id = e.batch_id AND m.position = e.position AND m.state >= 'sending'
      AND (e.state::message_state > m.state
           OR (coalesce(e.state::message_state, m.state) = m.state
               AND m.provider_state IS DISTINCT FROM e.provider_state))
"""

# The provider knows no such reference, long enough after: it certainly was not taken. Only what is in doubt
# still: a receipt may have come while we asked. Not for ever: what is neither taken nor refused so often
# waits for its deadline.
_QUEUE_AGAIN = """
    UPDATE message m SET state = 'queued', updated_at = now(),
        reason = 'the provider does not know it: ' || coalesce(m.reason, 'in doubt')
    FROM unnest($1::text::bigint[], $2::text::smallint[]) AS a(batch_id, position)
    WHERE m.batch_id = a.batch_id AND m.position = a.position AND m.state = 'in_doubt' AND m.attempt < $3
"""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What one poll brought."""

    evidence: Sequence[Evidence]
    absent: Sequence[int]
    how: Release


async def merge_polled(
    database: Database,
    work: PollingWork,
    evidence: Sequence[Evidence],
    how: Release,
    *,
    worker: str,
    absent: Sequence[int] = (),
) -> BatchState | None:
    """Merge what a poll brought by rank and give the lease back. Only rows that change are written.

    The provider's word beside a state is the word for it: a lower one comes late and is not kept, one
    that says nothing to us is. `absent` are positions in doubt that the provider certainly does not have:
    they are queued again. None: the lease is not ours any more, and nothing was written.
    """
    holder = Holder(work.batch_id, work.lease, worker)
    learned = _Learned(evidence, absent, replace(how, crash_count=0))
    return await database.together(_merge_polled, (holder, learned))


async def _merge_polled(
    database: Database, asked: Sequence[tuple[Holder, _Learned]]
) -> list[BatchState | None]:
    async with database.transaction() as connection:
        are_held = await hold_leases(connection, [who for who, _ in asked])
        held = [each for each, is_held in zip(asked, are_held, strict=True) if is_held]
        known = [(who.batch_id, each) for who, learned in held for each in learned.evidence]
        if known:
            await connection.execute(
                _MERGE,
                numbers(batch_id for batch_id, _ in known),
                numbers(e.position for _, e in known),
                [e.state for _, e in known],
                [e.provider_state for _, e in known],
                [e.provider_message_id for _, e in known],
                numbers(e.segment_count for _, e in known),
                numbers(e.cost for _, e in known),
            )
        absent = [(who.batch_id, position) for who, learned in held for position in learned.absent]
        if absent:
            await connection.execute(
                _QUEUE_AGAIN,
                numbers(batch_id for batch_id, _ in absent),
                numbers(position for _, position in absent),
                MOST_ATTEMPTS,
            )
        states = await let_go(connection, {who.batch_id: learned.how for who, learned in held})
    return [
        states[who.batch_id] if is_held else None for (who, _), is_held in zip(asked, are_held, strict=True)
    ]
