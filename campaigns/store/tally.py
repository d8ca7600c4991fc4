"""A batch's tally and what follows from it: counted anew whenever its messages change.

In the same transaction and under the row's lock, from at most a hundred index entries: exact by
construction, and constant in the number of statements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.domain.states import SETTLED, BatchState, MessageState
from campaigns.store.session import Connection
from campaigns.store.tables import TALLY_COLUMNS

_OPEN = ",".join(state for state in MessageState if state not in SETTLED)

_TALLY = ", ".join(
    f"count(*) FILTER (WHERE state = '{state}') AS {column}"
    for state, column in zip(MessageState, TALLY_COLUMNS, strict=True)
)
_SET_TALLY = ", ".join(f"{column} = t.{column}" for column in TALLY_COLUMNS)

_COUNTED = f"""
    WITH t AS (
        SELECT batch_id, {_TALLY},
               count(*) FILTER (WHERE state = ANY('{{{_OPEN}}}'::message_state[])) AS open_count,
               count(*) FILTER (
                   WHERE provider_message_id IS NOT NULL AND state IN ('accepted', 'sent', 'buffered')
               ) AS pollable_count,
               coalesce(sum(cost) FILTER (WHERE provider_message_id IS NOT NULL), 0) AS cost,
               coalesce(sum(segment_count) FILTER (WHERE provider_message_id IS NOT NULL), 0)
                   AS segment_count
        FROM message WHERE batch_id = ANY($1::bigint[]) GROUP BY batch_id
    )
"""

# The deadline moves on only when something was handed over: a provider that is down for ever must not
# push it away attempt by attempt.
_GIVE_UP_AT = """give_up_at = CASE WHEN {seconds}::float8 IS NULL THEN b.give_up_at
                       ELSE now() + make_interval(secs => {seconds}) END"""

_RECOUNT = f"""{_COUNTED}
    UPDATE batch b SET {_SET_TALLY}, cost = t.cost, segment_count = t.segment_count,
        {_GIVE_UP_AT.format(seconds="$2")}
    FROM t WHERE b.id = t.batch_id
"""

_RELEASE = f"""{_COUNTED}
    UPDATE batch b SET {_SET_TALLY}, cost = t.cost, segment_count = t.segment_count,
        state = (CASE WHEN t.queued_count > 0 THEN 'ready'
                      WHEN t.open_count > 0 THEN 'tracking'
                      ELSE 'done' END)::batch_state,
        leased_until = NULL, leased_for = NULL, leased_by = NULL,
        send_at = CASE WHEN $2::float8 IS NULL THEN b.send_at
                       ELSE now() + make_interval(secs => $2) END,
        poll_at = CASE WHEN t.pollable_count = 0 AND (t.in_doubt_count = 0 OR NOT $9::bool) THEN NULL
                       WHEN $3::float8 IS NULL THEN coalesce(b.poll_at, now())
                       ELSE now() + make_interval(secs => $3) END,
        retry_count = coalesce($4::smallint, b.retry_count),
        poll_count = coalesce($5::smallint, b.poll_count),
        trouble = $6,
        crash_count = coalesce($8::smallint, b.crash_count),
        {_GIVE_UP_AT.format(seconds="$7")}
    FROM t WHERE b.id = t.batch_id
    RETURNING b.state::text AS state
"""


@dataclass(frozen=True, slots=True)
class Release:
    """How a lease is given back: when the batch next wants work, in seconds from now.

    None leaves a value as it was; `trouble` is a sentence for people, None when all went well.
    """

    send_in_seconds: float | None = None
    poll_in_seconds: float | None = None
    retry_count: int | None = None
    poll_count: int | None = None
    give_up_in_seconds: float | None = None
    crash_count: int | None = None
    trouble: str | None = None
    asks_doubt: bool = True  # False: the provider cannot be asked about what is in doubt


async def recount(
    connection: Connection, batch_ids: Sequence[int], *, give_up_in_seconds: float | None = None
) -> None:
    """Count the tallies of locked batches anew. The caller's transaction holds their rows."""
    await connection.execute(_RECOUNT, batch_ids, give_up_in_seconds)


async def let_go(connection: Connection, batch_ids: Sequence[int], how: Release) -> BatchState:
    """Count anew, give the leases back, and put each batch where its messages say it belongs.

    Gives the new state of one of them (callers with several do not ask).
    """
    records = await connection.fetch(
        _RELEASE,
        batch_ids,
        how.send_in_seconds,
        how.poll_in_seconds,
        how.retry_count,
        how.poll_count,
        how.trouble,
        how.give_up_in_seconds,
        how.crash_count,
        how.asks_doubt,
    )
    return BatchState(records[0]["state"])
