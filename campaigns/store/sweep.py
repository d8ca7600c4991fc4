"""Sweeps over many batches: leases that ran out, deadlines that passed, campaigns that were cancelled.

Each takes a bounded number, locks them in order of id and skips what others hold, so that any number
of ticks may sweep at once and none waits in a ring.
"""

from dataclasses import dataclass
from uuid import UUID

from campaigns.store.session import Connection, Database
from campaigns.store.tally import Release, let_go


@dataclass(frozen=True, slots=True)
class Rescued:
    """What a round of rescue or of deadlines did."""

    batch_count: int = 0
    in_doubt_count: int = 0
    failed_count: int = 0
    unknown_count: int = 0


async def rescue_expired(database: Database, *, limit: int) -> Rescued:
    """Take back leases that ran out: `sending` messages were handed over by somebody who never wrote
    the answer down, so they are in doubt; what was not touched is ready again.
    """
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection, "state = 'leased' AND leased_until <= now()", "leased_until", limit
        )
        if not ids:
            return Rescued()
        doubted = await connection.fetch(
            "UPDATE message SET state = 'in_doubt', updated_at = now(),"
            " reason = 'the worker stopped between handing over and writing the answer down'"
            " WHERE batch_id = ANY($1::bigint[]) AND state = 'sending' RETURNING 1",
            ids,
        )
        await let_go(connection, ids, Release(trouble="lease ran out"))
    return Rescued(batch_count=len(ids), in_doubt_count=len(doubted))


async def give_up(database: Database, *, limit: int) -> Rescued:
    """Settle what is past its deadline: never handed over becomes failed, the rest unknown."""
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection, "state IN ('ready', 'tracking') AND give_up_at <= now()", "give_up_at", limit
        )
        if not ids:
            return Rescued()
        records = await connection.fetch(
            """
            UPDATE message SET updated_at = now(),
                reason = CASE WHEN state = 'queued'
                    THEN 'not handed over by the deadline' || coalesce(': ' || reason, '')
                    ELSE 'no final word by the deadline' || coalesce(': ' || reason, '') END,
                state = CASE WHEN state = 'queued' THEN 'failed'::message_state ELSE 'unknown' END
            WHERE batch_id = ANY($1::bigint[])
              AND state IN ('queued', 'sending', 'in_doubt', 'accepted', 'sent', 'buffered')
            RETURNING state::text AS state
            """,
            ids,
        )
        await let_go(connection, ids, Release(trouble="deadline passed"))
    failed = sum(record["state"] == "failed" for record in records)
    return Rescued(batch_count=len(ids), failed_count=failed, unknown_count=len(records) - failed)


async def cancel_queued(database: Database, *, limit: int, campaign_id: UUID | None = None) -> int:
    """Settle the queued messages of cancelled campaigns, at most `limit` batches a call. Gives how
    many batches it worked on; 0 means there is nothing left to do.
    """
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection,
            "state = 'ready' AND campaign_id IN (SELECT id FROM campaign WHERE state = 'cancelled'"
            " AND finished_at IS NULL AND ($2::uuid IS NULL OR id = $2))",
            "id",
            limit,
            campaign_id,
        )
        if not ids:
            return 0
        await connection.execute(
            "UPDATE message SET state = 'cancelled', updated_at = now(), reason = 'campaign cancelled'"
            " WHERE batch_id = ANY($1::bigint[]) AND state = 'queued'",
            ids,
        )
        await let_go(connection, ids, Release())
    return len(ids)


async def _lock_some(
    connection: Connection, condition: str, order: str, limit: int, *arguments: object
) -> list[int]:
    # Locked in order of id, like everywhere, so that two sweeps never wait for each other in a ring.
    records = await connection.fetch(
        f"SELECT id FROM batch WHERE id IN (SELECT id FROM batch WHERE {condition} ORDER BY {order} LIMIT $1)"
        f" AND {condition} ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
        limit,
        *arguments,
    )
    return [record["id"] for record in records]
