"""What went through an account in a month."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from campaigns.domain.access import Reach
from campaigns.domain.states import MessageState
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Database
from campaigns.store.totals import by_state


@dataclass(frozen=True, slots=True)
class Month:
    """The campaigns that were taken in from `begins_at` to before `ends_at`, through one account: how many,
    their messages by state, segments, what was charged by currency (None: not named), and how many messages
    the provider took without a price.
    """

    begins_at: datetime
    ends_at: datetime
    campaign_count: int
    totals: Mapping[MessageState, int]
    segment_count: int
    costs: Mapping[str | None, Decimal]
    unpriced_count: int


# Found by the moment they were taken in, which has an index, and summed over their batches: a hundred times
# fewer than messages, read once. By the batch's account: a campaign may use several.
_MONTH = f"""
    WITH campaigns AS MATERIALIZED (
        SELECT c.id, c.currency, sum(b.segment_count) AS segment_count,
               sum(b.unpriced_count) AS unpriced_count,
               {", ".join(f"sum(b.{column}) AS {column}" for column in TALLY_COLUMNS)},
               sum(b.cost) AS cost, sum(b.priced_count) AS priced_count, count(b.other_costs) AS other_count
        FROM campaign c JOIN batch b ON b.campaign_id = c.id
        WHERE c.created_at >= $2 AND c.created_at < $3 AND ($4::text IS NULL OR c.owner = $4)
          AND b.account = $1
        GROUP BY c.id
    ),
    charged AS (
        SELECT currency, cost AS amount FROM campaigns WHERE priced_count > 0
        UNION ALL
        SELECT e.key, (e.value->>'amount')::numeric
        FROM campaigns c JOIN batch b ON b.campaign_id = c.id AND b.account = $1
        CROSS JOIN LATERAL jsonb_each(b.other_costs) e WHERE c.other_count > 0
    )
    SELECT count(*) AS campaign_count, coalesce(sum(segment_count), 0)::bigint AS segment_count,
           coalesce(sum(unpriced_count), 0)::bigint AS unpriced_count,
           {", ".join(f"sum({column})::bigint AS {column}" for column in TALLY_COLUMNS)},
           (SELECT jsonb_agg(jsonb_build_array(k.currency, k.amount::text) ORDER BY k.currency NULLS FIRST)
            FROM (SELECT currency, sum(amount) AS amount FROM charged GROUP BY currency) k)::text AS costs
    FROM campaigns
"""


async def month(
    database: Database, account: str, begins_at: datetime, ends_at: datetime, *, reach: Reach
) -> Month:
    """What the campaigns within reach that were taken in then made of an account. Also of those that still
    run, as it is now.
    """
    async with database.connection() as connection:
        record = await connection.fetchrow(_MONTH, account, begins_at, ends_at, reach.owner)
    assert record is not None  # noqa: S101  an aggregate gives its row
    return Month(
        begins_at=begins_at,
        ends_at=ends_at,
        campaign_count=record["campaign_count"],
        totals=by_state(dict(record)),
        segment_count=record["segment_count"],
        costs={currency: Decimal(amount) for currency, amount in json.loads(record["costs"] or "[]")},
        unpriced_count=record["unpriced_count"],
    )
