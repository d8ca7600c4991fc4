"""What was taken in on each of the last days, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from campaigns.domain.access import Reach
from campaigns.domain.states import MessageState
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Database
from campaigns.store.totals import TOTALS, by_state


@dataclass(frozen=True, slots=True)
class Day:
    """The campaigns that were taken in on a day, in UTC, with one currency (None: not named): how many, their
    messages by state, and what is known to have been charged in it.
    """

    day: date
    currency: str | None
    campaign_count: int
    totals: Mapping[MessageState, int]
    cost: Decimal


# A row for each campaign: of those that are over the totals are kept. OFFSET 0: else those of others would be
# summed anew for each column.
_DAYS = f"""
    SELECT t.day, t.currency, count(*) AS campaign_count,
           {", ".join(f"sum((t.totals->>'{column}')::int) AS {column}" for column in TALLY_COLUMNS)},
           coalesce(sum((t.totals->>'cost')::numeric), 0) AS cost
    FROM (SELECT (c.created_at AT TIME ZONE 'UTC')::date AS day, c.currency, {TOTALS} AS totals
          FROM campaign c
          WHERE c.created_at >= $1 AND ($2::text IS NULL OR c.owner = $2)
            AND ($3::text[] IS NULL OR c.account = ANY($3)) OFFSET 0) t
    GROUP BY t.day, t.currency ORDER BY t.day, t.currency
"""


async def days(database: Database, since: datetime, *, reach: Reach) -> list[Day]:
    """The days on which campaigns within reach were taken in, the oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(_DAYS, since, reach.owner, reach.accounts and list(reach.accounts))
    return [
        Day(
            record["day"],
            record["currency"],
            record["campaign_count"],
            by_state(dict(record)),
            record["cost"],
        )
        for record in records
    ]
