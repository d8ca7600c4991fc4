"""Deliveries: which event goes to which webhook, when, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from campaigns.store.session import Database
from campaigns.store.where import Where

_CLAIMERS = 7266485  # any number, not that of another lock


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery that this process is to make, under a lease. `attempt` counts from 1, this one included;
    `failure_count`: how often in a row the webhook took nothing before it.
    """

    id: int
    lease: int
    attempt: int
    webhook_id: UUID
    failure_count: int
    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)  # the newest first
    with_numbers: bool
    event_id: UUID
    type: str
    at: datetime
    data: str = field(repr=False)  # JSON


# In order of their ids: of two events of one campaign, the later has the higher id and is seen by nobody
# before the other. The lock below keeps two who hand out from mixing theirs.
_HAND_OUT = """
    WITH new AS (
        SELECT id, type, owner, campaign_id, account FROM webhook_event
        WHERE handed_out_at IS NULL ORDER BY id LIMIT $1
    ),
    made AS (
        INSERT INTO webhook_delivery (webhook_id, event_id, sequence_key)
        SELECT h.webhook_id, new.id, coalesce(new.campaign_id, md5(new.account)::uuid)
        FROM new CROSS JOIN LATERAL hearing_webhooks(to_jsonb(new)) h
        WHERE NOT h.is_disabled
        ON CONFLICT (webhook_id, event_id) WHERE NOT is_replay DO NOTHING
    )
    UPDATE webhook_event e SET handed_out_at = now() FROM new WHERE e.id = new.id
"""

# Of a campaign the oldest is found by the index, from one campaign to the next: a large one has ten thousand
# that wait, and to ask of each whether an earlier one waits took seconds.
#
# Of each webhook the oldest that are due, so that at most two are in flight; of one that fails, one, and of
# those the one that was tried least: else one event that it never takes would hold up all others. Of a
# campaign, and of an account, only the oldest that waits: its events come in order. A lease that ran out
# counts no more. Webhooks in random order: with more of them than may be claimed, none is always the last.
_CLAIM = """
    WITH ready AS (
        SELECT w.id, w.failure_count FROM webhook w
        WHERE w.disabled_at IS NULL AND (w.retry_at IS NULL OR w.retry_at <= now())
          AND EXISTS (SELECT FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting'
                      AND d.due_at <= now() AND (d.leased_until IS NULL OR d.leased_until <= now()))
    ),
    chosen AS (
        SELECT d.id, ready.failure_count
        FROM ready
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM webhook_delivery f
            WHERE f.webhook_id = ready.id AND f.state = 'waiting' AND f.leased_until > now()
        ) flight
        CROSS JOIN LATERAL (
            WITH RECURSIVE oldest AS (
                (SELECT f.id, f.sequence_key FROM webhook_delivery f
                 WHERE f.webhook_id = ready.id AND f.state = 'waiting' AND f.sequence_key IS NOT NULL
                 ORDER BY f.sequence_key, f.event_id LIMIT 1)
                UNION ALL
                SELECT n.id, n.sequence_key FROM oldest CROSS JOIN LATERAL (
                    SELECT f.id, f.sequence_key FROM webhook_delivery f
                    WHERE f.webhook_id = ready.id AND f.state = 'waiting'
                      AND f.sequence_key > oldest.sequence_key
                    ORDER BY f.sequence_key, f.event_id LIMIT 1
                ) n
            ),
            may_go AS (
                SELECT id FROM oldest
                UNION ALL
                SELECT f.id FROM webhook_delivery f
                WHERE f.webhook_id = ready.id AND f.state = 'waiting' AND f.sequence_key IS NULL
            )
            SELECT d.id FROM may_go JOIN webhook_delivery d ON d.id = may_go.id
            WHERE d.due_at <= now() AND (d.leased_until IS NULL OR d.leased_until <= now())
            ORDER BY CASE WHEN ready.failure_count > 0 THEN d.attempt ELSE 0 END, d.event_id, d.id
            LIMIT greatest(0, CASE WHEN ready.failure_count > 0 THEN 1 ELSE $2 END - flight.n)
            FOR NO KEY UPDATE OF d SKIP LOCKED
        ) d
        ORDER BY random() LIMIT $1
    ),
    leased AS (
        UPDATE webhook_delivery d
        SET lease = d.lease + 1, attempt = least(d.attempt + 1, 32767), tried_at = now(),
            leased_until = now() + make_interval(secs => $3)
        FROM chosen WHERE d.id = chosen.id
        RETURNING d.id, d.lease, d.attempt, d.webhook_id, d.event_id, chosen.failure_count
    )
    SELECT l.id, l.lease, l.attempt, l.webhook_id, l.failure_count, w.url, w.with_numbers,
           CASE WHEN w.previous_secret_until > now() THEN ARRAY[w.secret, w.previous_secret]
                ELSE ARRAY[w.secret] END AS secrets,
           e.event_id, e.type, e.at, e.data::text AS data
    FROM leased l
    JOIN webhook w ON w.id = l.webhook_id
    JOIN webhook_event e ON e.id = l.event_id
    ORDER BY l.event_id
"""

_AT_ONCE = 500  # events that are handed out in one transaction


async def claim(database: Database, *, most: int, most_of_one: int, lease_seconds: float) -> list[Claimed]:
    """Hand out new events, and lease the deliveries to be made next: at most `most`, and of one webhook so
    many that `most_of_one` are in flight, whichever processes have them.

    Any number may claim at once; the others get none.
    """
    async with database.transaction() as connection:
        # One at a time: two would count the same ones in flight.
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _CLAIMERS):
            return []
        # A webhook that is being deleted is waited for: else its deliveries would point to nothing.
        await connection.execute("SELECT FROM webhook FOR KEY SHARE")
        await connection.execute(_HAND_OUT, _AT_ONCE)
        records = await connection.fetch(_CLAIM, most, most_of_one, lease_seconds)
    return [Claimed(**record) for record in records]


async def are_due(database: Database) -> bool:
    """Whether there is anything to hand out or to deliver. Cheap: for every tick."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM webhook_event WHERE handed_out_at IS NULL) OR EXISTS ("
                " SELECT FROM webhook w WHERE w.disabled_at IS NULL"
                " AND (w.retry_at IS NULL OR w.retry_at <= now())"
                " AND EXISTS (SELECT FROM webhook_delivery d WHERE d.webhook_id = w.id"
                " AND d.state = 'waiting' AND d.due_at <= now()"
                " AND (d.leased_until IS NULL OR d.leased_until <= now())))"
            )
        )


@dataclass(frozen=True, slots=True)
class Became:
    """What became of an attempt. `again_in_seconds`: when the event is tried again, None where it is not;
    `rest_in_seconds`: how long the webhook is left alone, None where it took this one.
    """

    succeeded: bool
    status: int | None
    took_milliseconds: int
    answer: str | None
    trouble: str | None
    again_in_seconds: float | None = None
    rest_in_seconds: float | None = None
    disables: str | None = None  # why the webhook is disabled now, whatever happened before


# Of two in flight that fail together one counts. Where the lease is another's by now, nothing is written: the
# event came there once more, and that one's answer counts. A webhook that is back after a while gets at once
# what waits for its next attempt; not after moments, else an event that it never takes would use up its own.
_SETTLE = """
    WITH done AS (
        UPDATE webhook_delivery SET
            state = CASE WHEN $3 THEN 'succeeded' WHEN $8::float8 IS NULL THEN 'given_up' ELSE 'waiting' END,
            finished_at = CASE WHEN $3 OR $8 IS NULL THEN now() END,
            due_at = now() + make_interval(secs => coalesce($8, 0)), leased_until = NULL,
            status = $4, took_milliseconds = $5, answer = $6, trouble = $7
        WHERE id = $1 AND lease = $2 AND state = 'waiting'
        RETURNING webhook_id
    ),
    brought_forward AS (
        UPDATE webhook_delivery d SET due_at = now()
        FROM done JOIN webhook w ON w.id = done.webhook_id
        WHERE $3 AND w.failing_since <= now() - interval '10 minutes'
          AND d.webhook_id = w.id AND d.state = 'waiting' AND d.due_at > now()
    )
    UPDATE webhook w SET
        last_success_at = CASE WHEN $3 THEN now() ELSE w.last_success_at END,
        failing_since = CASE WHEN NOT $3 THEN coalesce(w.failing_since, now()) END,
        failure_count = CASE WHEN $3 THEN 0 WHEN w.retry_at > now() THEN w.failure_count
                             ELSE least(w.failure_count + 1, 32767) END,
        retry_at = CASE WHEN NOT $3 THEN greatest(w.retry_at, now() + make_interval(secs => $9)) END,
        disabled_at = CASE WHEN n.reason IS NOT NULL THEN now() ELSE w.disabled_at END,
        disabled_reason = coalesce(n.reason, w.disabled_reason)
    FROM done
    CROSS JOIN LATERAL (
        SELECT CASE WHEN x.disabled_at IS NULL THEN coalesce(
            $10, CASE WHEN NOT $3 AND x.failing_since <= now() - make_interval(secs => $11) THEN $12 END
        ) END AS reason
        FROM webhook x WHERE x.id = done.webhook_id
    ) n
    WHERE w.id = done.webhook_id
    RETURNING n.reason
"""


async def settle(
    database: Database, claimed: Claimed, became: Became, *, give_up_seconds: float, gave_up: str
) -> str | None:
    """Write down what became of an attempt. Gives why the webhook was disabled by it; None where it was not.

    A webhook that took nothing for `give_up_seconds` is disabled with the reason `gave_up`.
    """
    async with database.connection() as connection:
        reason: str | None = await connection.fetchval(
            _SETTLE,
            claimed.id,
            claimed.lease,
            became.succeeded,
            became.status,
            became.took_milliseconds,
            became.answer,
            became.trouble,
            became.again_in_seconds,
            became.rest_in_seconds or 0.0,
            became.disables,
            give_up_seconds,
            gave_up,
        )
    return reason


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event at one webhook: how often it was tried, and what the last answer was."""

    id: int
    event_id: UUID
    type: str
    at: datetime
    campaign_id: UUID | None
    state: str  # waiting, succeeded, given_up
    attempt: int
    is_replay: bool
    due_at: datetime
    tried_at: datetime | None
    status: int | None
    took_milliseconds: int | None
    trouble: str | None
    answer: str | None = field(repr=False)


# Said word for word: there are indexes of what is in one state.
_IS_IN = {state: f"d.state = '{state}'" for state in ("waiting", "succeeded", "given_up")}


async def deliveries(
    database: Database,
    webhook_id: UUID,
    *,
    most: int,
    before: int | None = None,
    state: str | None = None,
) -> list[Delivery]:
    """The newest deliveries of a webhook, newest first. `before`: those older than the one of this id."""
    where = Where()
    where.add("d.webhook_id = {}", webhook_id)
    where.add("d.id < {}", before)
    if state is not None:
        where.add(_IS_IN[state])
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT d.id, e.event_id, e.type, e.at, e.campaign_id, d.state, d.attempt, d.is_replay, d.due_at,"
            " d.tried_at, d.status, d.took_milliseconds, d.trouble, d.answer"
            " FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id"
            f" WHERE {where} ORDER BY d.id DESC LIMIT {where.put(most)}",
            *where.values,
        )
    return [Delivery(**record) for record in records]


async def phones(database: Database, batch_id: int, positions: Sequence[int]) -> Mapping[int, str]:
    """The numbers of messages, by position."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT position, phone FROM message WHERE batch_id = $1 AND position = ANY ($2::smallint[])",
            batch_id,
            positions,
        )
    return {record["position"]: record["phone"] for record in records}


async def forget(database: Database, *, older_than_seconds: float, most: int) -> int:
    """Delete events of before, with their deliveries, at most so many. Gives how many."""
    async with database.connection() as connection:
        done = await connection.execute(
            "DELETE FROM webhook_event WHERE id IN (SELECT id FROM webhook_event"
            " WHERE at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2)",
            older_than_seconds,
            most,
        )
    return int(done.rpartition(" ")[2])
