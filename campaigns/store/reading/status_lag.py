"""Whether polls for a campaign's messages are late."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from campaigns.domain.states import OPEN, MessageState
from campaigns.store.conditions import IS_NOT_DONE
from campaigns.store.law import sum_of


@dataclass(frozen=True, slots=True)
class StatusLag:
    """Polls for a campaign's messages are more than a minute late."""

    waiting_count: int  # messages whose question is due and was not asked
    open_count: int  # messages without a final state
    oldest_due_at: datetime


# Messages that were asked about in this cycle do not wait, even though their batch is late.
LAG = f"""
    SELECT sum(greatest(o.open - coalesce(cardinality(o.asked_positions), 0), 0))
               FILTER (WHERE o.is_late)::int AS waiting_count,
           sum(o.open)::int AS open_count, min(o.poll_at) FILTER (WHERE o.is_late) AS oldest_due_at
    FROM (SELECT b.poll_at, b.asked_positions, b.poll_at <= now() - interval '1 minute' AS is_late,
                 {sum_of(OPEN - {MessageState.SENDING}, "b")} AS open
          FROM batch b WHERE b.campaign_id = c.id AND {IS_NOT_DONE}) o
"""
"""Of campaign `c`, for `lag_of`."""


def lag_of(record: asyncpg.Record) -> StatusLag | None:
    """What LAG found; None where statuses come as they should."""
    if not record["waiting_count"]:
        return None
    return StatusLag(record["waiting_count"], record["open_count"], record["oldest_due_at"])
