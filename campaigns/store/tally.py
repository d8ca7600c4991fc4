"""A batch's tally and what follows from it: counted anew whenever its messages change.

In the same transaction and under the row's lock, from at most a hundred index entries: exact by
construction, and constant in the number of statements.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from campaigns.domain.states import SETTLED, BatchState, MessageState
from campaigns.store.session import Connection, numbers

TALLY_COLUMNS: tuple[str, ...] = tuple(f"{state}_count" for state in MessageState)
"""The columns of a batch's tally, one for every message state, in order of rank."""

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
        FROM message WHERE batch_id = ANY($1::text::bigint[]) GROUP BY batch_id
    )
"""

# The deadline moves on only when something was handed over: a provider that is down for ever must not
# push it away attempt by attempt.
_GIVE_UP_AT = """give_up_at = CASE WHEN {seconds} IS NULL THEN b.give_up_at
                       ELSE now() + make_interval(secs => {seconds}) END"""

_RECOUNT = f"""{_COUNTED}
    UPDATE batch b SET {_SET_TALLY}, cost = t.cost, segment_count = t.segment_count,
        {_GIVE_UP_AT.format(seconds="h.give_up_in")}
    FROM t JOIN unnest($1::text::bigint[], $2::text::float8[]) AS h(id, give_up_in) ON h.id = t.batch_id
    WHERE b.id = t.batch_id
"""

_RELEASE = f"""{_COUNTED}
    UPDATE batch b SET {_SET_TALLY}, cost = t.cost, segment_count = t.segment_count,
        state = (CASE WHEN t.queued_count > 0 THEN 'ready'
                      WHEN t.open_count > 0 THEN 'tracking'
                      ELSE 'done' END)::batch_state,
        leased_until = NULL, leased_for = NULL, leased_by = NULL,
        send_at = CASE WHEN h.send_in IS NULL THEN b.send_at
                       ELSE now() + make_interval(secs => h.send_in) END,
        poll_at = CASE WHEN t.pollable_count = 0 AND (t.in_doubt_count = 0 OR NOT h.asks_doubt) THEN NULL
                       WHEN h.poll_in IS NULL THEN coalesce(b.poll_at, now())
                       ELSE now() + make_interval(secs => h.poll_in) END,
        retry_count = coalesce(h.retry_count, b.retry_count),
        poll_count = coalesce(h.poll_count, b.poll_count),
        trouble = h.trouble,
        crash_count = coalesce(h.crash_count, b.crash_count),
        {_GIVE_UP_AT.format(seconds="h.give_up_in")}
    FROM t JOIN unnest($1::text::bigint[], $2::text::float8[], $3::text::float8[], $4::text::smallint[],
                       $5::text::smallint[], $6::text[],
                       $7::text::float8[], $8::text::smallint[], $9::text::bool[])
        AS h(id, send_in, poll_in, retry_count, poll_count, trouble, give_up_in, crash_count, asks_doubt)
        ON h.id = t.batch_id
    WHERE b.id = t.batch_id
    RETURNING b.id, b.state::text AS state
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


async def recount(connection: Connection, give_up_in: Mapping[int, float | None]) -> None:
    """Count the tallies of locked batches anew, by batch id, with their new deadlines in seconds from now
    (None: as it was). The caller's transaction holds their rows.
    """
    if give_up_in:
        await connection.execute(_RECOUNT, numbers(give_up_in), numbers(give_up_in.values()))


async def let_go(connection: Connection, hows: Mapping[int, Release]) -> dict[int, BatchState]:
    """Count locked batches anew, give each lease back as said, and put each where its messages say it
    belongs. Gives the new states by batch id.
    """
    if not hows:
        return {}
    ways = list(hows.values())
    records = await connection.fetch(
        _RELEASE,
        numbers(hows),
        numbers(how.send_in_seconds for how in ways),
        numbers(how.poll_in_seconds for how in ways),
        numbers(how.retry_count for how in ways),
        numbers(how.poll_count for how in ways),
        [how.trouble for how in ways],
        numbers(how.give_up_in_seconds for how in ways),
        numbers(how.crash_count for how in ways),
        numbers(how.asks_doubt for how in ways),
    )
    return {record["id"]: BatchState(record["state"]) for record in records}
