"""What went through each account by day, in UTC: of campaigns that are over it is kept, of others it is
counted when somebody asks. The day of a message is that on which it was handed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from campaigns.domain.states import UNSURE, MessageState
from campaigns.domain.timeline import MOMENT_BYTES, RECORD_BYTES, SOURCE_CODES, Source
from campaigns.store.law import in_list
from campaigns.store.session import Connection, Database

_COUNTERS = 7266487  # any number, not that of another lock
_BATCHES_AT_ONCE = 2_000

# The first record of a timeline is the first hand-over's, and begins with its moment (`domain/timeline.py`).
# Where a message has none (of the release before), the moment of its last change stands for it.
_IS_HAND_OVER = f"""octet_length(m.timeline) >= {RECORD_BYTES}
    AND get_byte(m.timeline, {MOMENT_BYTES}) = {SOURCE_CODES[Source.HAND_OVER]}"""
_HANDED_OVER_AT = f"""CASE WHEN {_IS_HAND_OVER}
    THEN to_timestamp(('x' || encode(substring(m.timeline FROM 1 FOR {MOMENT_BYTES}), 'hex'))
                      ::bit({8 * MOMENT_BYTES})::bigint / 1000.0)
    ELSE m.updated_at END"""


def _count(which: str) -> str:
    """SQL: the messages of `which` batches `b` of campaigns `c` by day, as `account_day` has them."""
    return f"""
        SELECT b.campaign_id, b.account, ({_HANDED_OVER_AT} AT TIME ZONE 'UTC')::date AS day,
               coalesce(m.currency, c.currency, '') AS currency, m.state,
               count(*) AS message_count, count(m.provider_message_id) AS taken_count,
               coalesce(sum(m.segment_count) FILTER (WHERE m.provider_message_id IS NOT NULL), 0)
                   AS segment_count,
               coalesce(sum(m.segment_count) FILTER (
                   WHERE m.provider_message_id IS NULL AND m.state IN {in_list(UNSURE)}), 0)
                   AS unsure_segment_count,
               count(*) FILTER (WHERE m.provider_message_id IS NOT NULL AND m.cost IS NULL)
                   AS unpriced_count,
               coalesce(sum(m.cost), 0) AS cost
        FROM batch b JOIN message m ON m.batch_id = b.id JOIN campaign c ON c.id = b.campaign_id
        WHERE m.attempt >= 1 AND {which}
        GROUP BY 1, 2, 3, 4, 5
    """


_KEEP = f"""
    INSERT INTO account_day AS d (campaign_id, account, day, currency, state, message_count, taken_count,
                                  segment_count, unsure_segment_count, unpriced_count, cost)
    {_count("b.id = ANY ($1)")}
    ON CONFLICT (campaign_id, account, day, currency, state) DO UPDATE SET
        message_count = d.message_count + excluded.message_count,
        taken_count = d.taken_count + excluded.taken_count,
        segment_count = d.segment_count + excluded.segment_count,
        unsure_segment_count = d.unsure_segment_count + excluded.unsure_segment_count,
        unpriced_count = d.unpriced_count + excluded.unpriced_count,
        cost = d.cost + excluded.cost
"""

# A campaign that is over and whose days are not counted is one of few: what it had is not read.
_MONTH = f"""
    SELECT day, currency, state::text AS state, sum(message_count)::bigint AS message_count,
           sum(taken_count)::bigint AS taken_count, sum(segment_count)::bigint AS segment_count,
           sum(unsure_segment_count)::bigint AS unsure_segment_count,
           sum(unpriced_count)::bigint AS unpriced_count, sum(cost) AS cost
    FROM (
        SELECT d.* FROM account_day d
        WHERE d.account = $1 AND d.day >= $2 AND d.day < $3
          AND NOT EXISTS (SELECT FROM campaign c WHERE c.id = d.campaign_id AND NOT c.is_counted_by_day)
        UNION ALL
        SELECT * FROM ({_count("NOT c.is_counted_by_day AND b.account = $1 AND c.created_at < $4")}) o
        WHERE o.day >= $2 AND o.day < $3
    ) each GROUP BY day, currency, state ORDER BY day, currency, state
"""


@dataclass(frozen=True, slots=True)
class AccountDay:
    """What was handed over through an account on a day, in one currency ("": not known), and is in one state
    now. `taken_count`: the provider gave it an id, and of that are `segment_count`, `cost` (of what has one)
    and `unpriced_count`. `unsure_segment_count`: it may have left, and nobody knows.
    """

    day: date
    currency: str
    state: MessageState
    message_count: int
    taken_count: int
    segment_count: int
    unsure_segment_count: int
    unpriced_count: int
    cost: Decimal


async def count(database: Database) -> UUID | None:
    """Count one campaign that is over by day, and keep that. Gives its id; None: there is none, or another
    process counts.

    In one transaction that holds its batches: a late receipt comes either before and is counted, or after,
    and has it counted again (`functions/forget_totals.sql`). Raises DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _COUNTERS):
            return None
        campaign_id: UUID | None = await connection.fetchval(
            "SELECT id FROM campaign WHERE finished_at IS NOT NULL AND NOT is_counted_by_day"
            " ORDER BY id LIMIT 1"
        )
        if campaign_id is None:
            return None
        held = await connection.fetch(
            "SELECT id FROM batch WHERE campaign_id = $1 ORDER BY id FOR SHARE", campaign_id
        )
        await connection.execute("DELETE FROM account_day WHERE campaign_id = $1", campaign_id)
        await _keep(connection, [record["id"] for record in held])
        await connection.execute("UPDATE campaign SET is_counted_by_day = true WHERE id = $1", campaign_id)
    return campaign_id


async def _keep(connection: Connection, batches: Sequence[int]) -> None:
    for at in range(0, len(batches), _BATCHES_AT_ONCE):
        await connection.execute(_KEEP, batches[at : at + _BATCHES_AT_ONCE])


async def month(database: Database, account: str, begins_at: datetime, ends_at: datetime) -> list[AccountDay]:
    """What was handed over through an account from `begins_at` to before `ends_at`, both midnights in UTC, by
    day, currency and state. Raises DatabaseUnavailable.
    """
    # Without a statement timeout: of campaigns that are not over, all messages that left are read.
    async with database.own_connection() as connection:
        records = await connection.fetch(_MONTH, account, begins_at.date(), ends_at.date(), ends_at)
    return [AccountDay(**{**dict(record), "state": MessageState(record["state"])}) for record in records]
