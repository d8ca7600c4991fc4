"""Batches taken up for asking: which of their messages, and what was learned of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from campaigns.domain.policy import MOST_ATTEMPTS
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.batch import Dealt, hold_lease, take_up
from campaigns.store.session import Database
from campaigns.store.tally import Release, let_go


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Evidence:
    """A provider's word on one message of a batch. The fields after it: only where it was in doubt."""

    position: int
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None = None
    segment_count: int | None = None
    cost: Decimal | None = None


async def take_up_polling(
    database: Database, dealt: Dealt, *, worker: str, lease_seconds: float
) -> PollingWork | None:
    """Like `take_up_sending`, with what is to be asked instead."""
    async with database.transaction() as connection:
        record = await take_up(connection, dealt, worker, lease_seconds, "polling")
        if record is None:
            return None
        messages = await connection.fetch(
            "SELECT provider_message_id, position, phone, updated_at, state = 'in_doubt' AS is_in_doubt,"
            " now() AS now FROM message"
            " WHERE batch_id = $1 AND (state = 'in_doubt'"
            " OR (provider_message_id IS NOT NULL AND state IN ('accepted', 'sent', 'buffered')))"
            " ORDER BY position",
            dealt.batch_id,
        )
        now = messages[0]["now"] if messages else await connection.fetchval("SELECT now()")
    return PollingWork(
        dealt.batch_id,
        dealt.lease,
        record["campaign_id"],
        record["number"],
        record["account"],
        record["poll_count"],
        now,
        {m["provider_message_id"]: m["position"] for m in messages if not m["is_in_doubt"]},
        [InDoubtMessage(m["position"], m["phone"], m["updated_at"]) for m in messages if m["is_in_doubt"]],
    )


_MERGE = """
    UPDATE message m SET
        state = greatest(m.state, e.state),
        provider_state = e.provider_state,
        provider_message_id = coalesce(m.provider_message_id, e.provider_message_id),
        segment_count = coalesce(e.segment_count, m.segment_count),
        cost = coalesce(m.cost, e.cost),
        updated_at = now()
    FROM unnest($2::smallint[], $3::message_state[], $4::text[], $5::text[], $6::smallint[], $7::numeric[])
         AS e(position, state, provider_state, provider_message_id, segment_count, cost)
    WHERE m.batch_id = $1 AND m.position = e.position AND m.state >= 'sending'
      AND (e.state > m.state OR (coalesce(e.state, m.state) = m.state
                                 AND m.provider_state IS DISTINCT FROM e.provider_state))
"""

# The provider knows no such reference, long enough after: it certainly was not taken. Only what is in doubt
# still: a receipt may have come while we asked. Not for ever: what is neither taken nor refused so often
# waits for its deadline.
_QUEUE_AGAIN = """
    UPDATE message SET state = 'queued', updated_at = now(),
        reason = 'the provider does not know it: ' || coalesce(reason, 'in doubt')
    WHERE batch_id = $1 AND position = ANY($2::smallint[]) AND state = 'in_doubt' AND attempt < $3
"""


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
    async with database.transaction() as connection:
        if not await hold_lease(connection, work.batch_id, work.lease, worker):
            return None
        if evidence:
            await connection.execute(
                _MERGE,
                work.batch_id,
                [e.position for e in evidence],
                [e.state for e in evidence],
                [e.provider_state for e in evidence],
                [e.provider_message_id for e in evidence],
                [e.segment_count for e in evidence],
                [e.cost for e in evidence],
            )
        if absent:
            await connection.execute(_QUEUE_AGAIN, work.batch_id, absent, MOST_ATTEMPTS)
        return await let_go(connection, [work.batch_id], replace(how, crash_count=0))
