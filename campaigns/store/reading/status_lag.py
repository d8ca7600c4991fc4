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


_OPEN = sum_of(OPEN - {MessageState.SENDING}, "b")
_IS_LATE = f"b.poll_at <= now() - interval '1 minute' AND {IS_NOT_DONE}"

# Messages that were asked about in this cycle do not wait, even though their batch is late.
LAG = f"""
    sum(greatest({_OPEN} - coalesce(cardinality(b.asked_positions), 0), 0))
        FILTER (WHERE {_IS_LATE})::int AS waiting_count,
    sum({_OPEN})::int AS open_count, min(b.poll_at) FILTER (WHERE {_IS_LATE}) AS oldest_due_at"""
"""SQL: sums over batches `b` of a campaign, for `lag_of`."""


def lag_of(record: asyncpg.Record) -> StatusLag | None:
    """What LAG found; None where statuses come as they should."""
    if not record["waiting_count"]:
        return None
    return StatusLag(record["waiting_count"], record["open_count"], record["oldest_due_at"])
