"""Events that could not be written into the outbox: listed, written again, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from campaigns.store.session import Database


@dataclass(frozen=True, slots=True)
class AsideEvent:
    """An event that no webhook is told of until a person has it written again."""

    id: int
    set_aside_at: datetime
    happened_at: datetime
    type: str
    owner: str
    campaign_id: UUID | None
    account: str | None
    reason: str


async def listed(database: Database, *, limit: int) -> list[AsideEvent]:
    """What is set aside, oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT id, set_aside_at, happened_at, type, owner, campaign_id, account, reason"
            " FROM aside_event ORDER BY id LIMIT $1",
            limit,
        )
    return [AsideEvent(**record) for record in records]


async def retry(database: Database, ids: Sequence[int]) -> list[int]:
    """Write these into the outbox now: what still cannot be is set aside anew. Gives those there were."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "WITH gone AS (DELETE FROM aside_event WHERE id = ANY($1::bigint[]) RETURNING *)"
            " SELECT id, write_event(jsonb_build_object('at', happened_at, 'type', type, 'owner', owner,"
            " 'campaign_id', campaign_id, 'account', account, 'data', data))"
            " FROM (SELECT * FROM gone ORDER BY id) g",
            ids,
        )
    return [record["id"] for record in records]


async def drop(database: Database, ids: Sequence[int]) -> list[int]:
    """Delete these for good. Gives those that were there."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "DELETE FROM aside_event WHERE id = ANY($1::bigint[]) RETURNING id", ids
        )
    return [record["id"] for record in records]
