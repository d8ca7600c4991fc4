"""SQL of the audit, which is append only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.domain.access import Actor
from campaigns.store.session import Database
from campaigns.store.where import Where


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the audit."""

    id: int
    at: datetime
    actor_kind: str
    actor: str
    owner: str
    action: str
    subject: str
    origin: str
    detail: Mapping[str, Any]


async def add(database: Database, actor: Actor, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Add a row."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO audit (actor_kind, actor, owner, origin, action, subject, detail)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            actor.kind,
            actor.name,
            actor.owner,
            actor.origin,
            action,
            subject,
            json.dumps(detail),
        )


async def page(
    database: Database, *, limit: int, before: int | None, subject: str | None, owner: str | None
) -> list[AuditRow]:
    """The newest rows, or those before a row; of everything, or of one thing."""
    where = Where()
    where.add("id < {}", before)
    where.add("subject = {}", subject)
    # Said as a range, and ordered by it too: else the rows of an owner who has few are found by reading all.
    where.add("owner BETWEEN {0} AND {0}", owner)
    order = "id DESC" if owner is None else "owner DESC, id DESC"
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT id, at, actor_kind, actor, owner, action, subject, origin, detail::text AS detail"
            f" FROM audit WHERE {where} ORDER BY {order} LIMIT {where.put(limit)}",
            *where.values,
        )
    return [AuditRow(**(dict(record) | {"detail": json.loads(record["detail"])})) for record in records]
