"""The webhooks: where what happens is told, of what, and with which secret."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from campaigns.domain.errors import NotFound
from campaigns.store.session import Connection, Database


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook. `owner` None: it hears of every owner's campaigns; `event_types` None: of all."""

    id: UUID
    created_at: datetime
    url: str = field(repr=False)
    owner: str | None
    event_types: Sequence[str] | None
    with_numbers: bool
    previous_secret_until: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    retry_at: datetime | None
    last_success_at: datetime | None
    waiting_count: int
    waiting_since: datetime | None


_WEBHOOKS = """
    SELECT w.id, w.created_at, w.url, CASE WHEN NOT w.is_for_all_owners THEN w.owner END AS owner,
           w.event_types, w.with_numbers, w.disabled_at, w.disabled_reason, w.failing_since, w.retry_at,
           w.last_success_at,
           CASE WHEN w.previous_secret_until > now() THEN w.previous_secret_until END
               AS previous_secret_until,
           d.waiting_count, d.waiting_since
    FROM webhook w
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS waiting_count, min(created_at) AS waiting_since
        FROM webhook_delivery WHERE webhook_id = w.id AND state = 'waiting'
    ) d
    WHERE ($1::uuid IS NULL OR w.id = $1)
      AND ($2::text IS NULL OR (w.owner = $2 AND NOT w.is_for_all_owners))
      AND ($3::timestamptz IS NULL OR (w.created_at, w.id) > ($3, $4::uuid))
    ORDER BY w.created_at, w.id LIMIT $5
"""


async def add(  # noqa: PLR0913  what a webhook is made of
    database: Database,
    webhook_id: UUID,
    *,
    url: str,
    secret: str,
    owner: str | None,
    event_types: Sequence[str] | None,
    with_numbers: bool,
    most: int,
) -> bool:
    """Make a webhook. `owner` None: it hears of every owner's campaigns. False: the owner (or everybody
    together) has `most` already, and none was made.
    """
    async with database.transaction() as connection:
        # Two at once would both find room for one.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('webhooks of ' || $1, 0))", owner or ""
        )
        made = await connection.fetchval(
            "INSERT INTO webhook (id, url, secret, owner, is_for_all_owners, event_types, with_numbers)"
            " SELECT $1, $2, $3, coalesce($4, ''), $4 IS NULL, $5, $6"
            " WHERE (SELECT count(*) FROM webhook WHERE owner = coalesce($4, '')) < $7 RETURNING true",
            webhook_id,
            url,
            secret,
            owner,
            event_types,
            with_numbers,
            most,
        )
    return bool(made)


async def webhooks(
    database: Database,
    webhook_id: UUID | None = None,
    *,
    owner: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    most: int | None = None,
) -> list[Webhook]:
    """All, the oldest first, or the one of this id. `owner`: this one's alone; `after`: those that come after
    the webhook of this moment and id. Raises NotFound.
    """
    made_at, last_id = after or (None, None)
    async with database.connection() as connection:
        records = await connection.fetch(_WEBHOOKS, webhook_id, owner, made_at, last_id, most)
    if webhook_id is not None and not records:
        raise no_such_webhook(webhook_id)
    return [Webhook(**record) for record in records]


async def rotate(database: Database, webhook_id: UUID, secret: str, *, both_seconds: float) -> datetime:
    """Sign by another secret, and for so many seconds by the one of before too. Gives until when.

    Raises NotFound.
    """
    return await _change(
        database,
        "UPDATE webhook SET previous_secret = secret, secret = $2,"
        " previous_secret_until = now() + make_interval(secs => $3)"
        " WHERE id = $1 RETURNING previous_secret_until AS until",
        webhook_id,
        secret,
        both_seconds,
    )


async def enable(database: Database, webhook_id: UUID) -> None:
    """Deliver again, what waits first, as if nothing had failed. Idempotent. Raises NotFound."""
    await _change(
        database,
        "WITH due AS (UPDATE webhook_delivery SET due_at = now() WHERE webhook_id = $1 AND state = 'waiting'"
        " AND due_at > now()) UPDATE webhook SET disabled_at = NULL, disabled_reason = NULL,"
        " failing_since = NULL, retry_at = NULL, failure_count = 0 WHERE id = $1 RETURNING id",
        webhook_id,
    )


async def disable(database: Database, webhook_id: UUID, reason: str) -> None:
    """Deliver nothing more; what waits is kept. The first reason stays. Raises NotFound."""
    await _change(
        database,
        "UPDATE webhook SET disabled_reason = coalesce(disabled_reason, $2),"
        " disabled_at = coalesce(disabled_at, now()) WHERE id = $1 RETURNING id",
        webhook_id,
        reason,
    )


async def choose(database: Database, webhook_id: UUID, event_types: Sequence[str]) -> None:
    """Tell it of these types of events from now on. Raises NotFound."""
    await _change(
        database, "UPDATE webhook SET event_types = $2 WHERE id = $1 RETURNING id", webhook_id, event_types
    )


async def delete(database: Database, webhook_id: UUID) -> None:
    """Forget a webhook and its deliveries. Raises NotFound."""
    await _change(database, "DELETE FROM webhook WHERE id = $1 RETURNING id", webhook_id)


async def add_test(database: Database, webhook_id: UUID) -> UUID:
    """Tell this webhook of nothing but itself, and no other. Gives the event's id. Raises NotFound."""
    async with database.transaction() as connection:
        await _lock(connection, webhook_id)
        record = await connection.fetchrow(
            "INSERT INTO webhook_event (type, data, handed_out_at)"
            " VALUES ('webhook.test', jsonb_build_object('webhook_id', $1::uuid), now())"
            " RETURNING id, event_id",
            webhook_id,
        )
        assert record is not None  # noqa: S101  an INSERT gives its row
        await connection.execute(
            "INSERT INTO webhook_delivery (webhook_id, event_id) VALUES ($1, $2)", webhook_id, record["id"]
        )
    event_id: UUID = record["event_id"]
    return event_id


async def replay(database: Database, webhook_id: UUID, event_id: UUID) -> None:
    """Deliver one event once more, in no order with others. Raises NotFound: no such webhook, or it has no
    delivery of such an event.
    """
    async with database.transaction() as connection:
        await _lock(connection, webhook_id)
        replayed = await connection.fetchval(
            "INSERT INTO webhook_delivery (webhook_id, event_id, is_replay)"
            " SELECT DISTINCT d.webhook_id, d.event_id, true FROM webhook_delivery d"
            " JOIN webhook_event e ON e.id = d.event_id"
            " WHERE d.webhook_id = $1 AND e.event_id = $2 RETURNING true",
            webhook_id,
            event_id,
        )
    if not replayed:
        raise no_such_delivery(webhook_id, event_id)


# What was never handed out to it (it was disabled), and what was given up; with $3 all. In one statement
# each: what waits already is left as it is, so that nothing comes twice for being asked twice.
_MISSED = """
    INSERT INTO webhook_delivery (webhook_id, event_id, sequence_key)
    SELECT $1, e.id, coalesce(e.campaign_id, md5(e.account)::uuid)
    FROM webhook_event e
    WHERE e.at >= $2 AND e.handed_out_at IS NOT NULL AND e.type <> 'webhook.test'
      AND EXISTS (SELECT FROM hearing_webhooks(to_jsonb(e)) h WHERE h.webhook_id = $1)
    ON CONFLICT (webhook_id, event_id) WHERE NOT is_replay DO NOTHING
"""
_AGAIN = """
    UPDATE webhook_delivery d SET state = 'waiting', finished_at = NULL, due_at = now(), attempt = 0
    FROM webhook_event e
    WHERE e.id = d.event_id AND d.webhook_id = $1 AND NOT d.is_replay AND e.at >= $2
      AND (d.state = 'given_up' OR ($3 AND d.state = 'succeeded'))
"""


async def recover(database: Database, webhook_id: UUID, since: datetime, *, all_of_them: bool) -> int:
    """Deliver what was missed since then: events of when it was disabled, and those that were given up; with
    `all_of_them` also those that it took. Gives how many. Raises NotFound.
    """
    async with database.transaction() as connection:
        await _lock(connection, webhook_id)
        done = [
            await connection.execute(_AGAIN, webhook_id, since, all_of_them),
            await connection.execute(_MISSED, webhook_id, since),
        ]
    return sum(int(each.rpartition(" ")[2]) for each in done)


async def _lock(connection: Connection, webhook_id: UUID) -> None:
    if not await connection.fetchval("SELECT true FROM webhook WHERE id = $1 FOR KEY SHARE", webhook_id):
        raise no_such_webhook(webhook_id)


async def _change(database: Database, statement: str, webhook_id: UUID, *more: object) -> datetime:
    async with database.connection() as connection:
        record: asyncpg.Record | None = await connection.fetchrow(statement, webhook_id, *more)
    if record is None:
        raise no_such_webhook(webhook_id)
    changed: datetime = record[0]
    return changed


def no_such_webhook(webhook_id: UUID) -> NotFound:
    """What is raised where there is no webhook of that id."""
    return NotFound(f"there is no webhook {webhook_id}; see: campaigns webhook list")


def no_such_delivery(webhook_id: UUID, event_id: UUID) -> NotFound:
    """What is raised where a webhook was never told of an event."""
    return NotFound(f"webhook {webhook_id} has no delivery of event {event_id}")
