"""Pages of what belongs to one campaign: each goes on where the one before ended, and costs the same wherever
it is. It is never counted from the beginning.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from campaigns.domain.states import BatchState, MessageState
from campaigns.store.law import quoted, tally_column
from campaigns.store.reading.messages import COLUMNS, MessageRow, row_of
from campaigns.store.reasons import counted_reason, has_reason, may_hold
from campaigns.store.session import Database
from campaigns.store.totals import by_state


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message is in its campaign: its batch's number, its position there."""

    number: int = 0
    position: int = -1


BEGINNING = Position()

# Said as a row, `(number, position) > ($3, $4)`, it would use no index: 104 ms in the middle of a million
# messages, 0.3 ms like this. By OFFSET 0 the messages of one batch after the other are read until the page is
# full: as a plain join, those for a reason were found by reading the messages of all campaigns (5 s of ten
# million).
_MESSAGES = f"""
    SELECT {COLUMNS}
    FROM batch b JOIN campaign c ON c.id = b.campaign_id
    CROSS JOIN LATERAL (
        SELECT * FROM message m
        WHERE m.batch_id = b.id AND (b.number > $3 OR m.position > $4) {{of_message}} OFFSET 0) m
    WHERE b.campaign_id = $1 AND b.number >= $3 {{of_batch}}
    ORDER BY b.number, m.position LIMIT $2
"""


async def messages(
    database: Database,
    campaign_id: UUID,
    *,
    limit: int,
    after: Position = BEGINNING,
    state: MessageState | None = None,
    reason: str | None = None,
) -> list[tuple[Position, MessageRow]]:
    """The next messages of a campaign, in order of batch and position; of one state, or that reached nobody
    for one reason.
    """
    # Batches without any in that state, or for that reason, are passed over: their tallies say so.
    of_batch, of_message = "", ""
    given: list[object] = [campaign_id, limit, after.number, after.position]
    if state is not None:
        of_batch += f" AND b.{tally_column(state)} > 0"
        of_message += f" AND m.state = {quoted(state)}"
    if reason is not None:
        given += [reason, json.dumps([[reason]])]
        of_batch += f" AND {may_hold('$6::jsonb')}"
        of_message += f" AND {has_reason('m')} AND {counted_reason('m')} = $5"
    async with database.connection() as connection:
        records = await connection.fetch(_MESSAGES.format(of_batch=of_batch, of_message=of_message), *given)
    return [(Position(record["number"], record["position"]), row_of(record)) for record in records]


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch as it is now."""

    number: int
    account: str
    state: BatchState
    message_count: int
    totals: dict[MessageState, int]
    send_at: datetime
    poll_at: datetime | None
    leased_until: datetime | None
    leased_for: str | None
    trouble: str | None


async def batches(database: Database, campaign_id: UUID, *, limit: int, after: int = 0) -> list[BatchRow]:
    """The next batches of a campaign, in order of number."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT b.*, b.state::text AS state FROM batch b WHERE campaign_id = $1 AND number > $3"
            " ORDER BY number LIMIT $2",
            campaign_id,
            limit,
            after,
        )
    return [
        BatchRow(
            number=record["number"],
            account=record["account"],
            state=BatchState(record["state"]),
            message_count=record["message_count"],
            totals=by_state(dict(record)),
            send_at=record["send_at"],
            poll_at=record["poll_at"],
            leased_until=record["leased_until"],
            leased_for=record["leased_for"],
            trouble=record["trouble"],
        )
        for record in records
    ]


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A recipient that was not taken in."""

    row: int
    reason: str
    column: str | None


async def refusals(database: Database, campaign_id: UUID, *, limit: int, after: int = -1) -> list[RefusalRow]:
    """The next refused recipients of a campaign, in order of row."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT row, reason, column_name FROM refusal WHERE campaign_id = $1 AND row > $3"
            " ORDER BY row LIMIT $2",
            campaign_id,
            limit,
            after,
        )
    return [RefusalRow(record["row"], record["reason"], record["column_name"]) for record in records]
