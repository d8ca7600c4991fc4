"""The suppression list: numbers that are never sent to."""

from collections.abc import Sequence
from datetime import datetime

from campaigns.store.session import Database


async def suppress(database: Database, phones: Sequence[str], reason: str) -> int:
    """Put numbers (E.164) on the list. Gives how many are new; known ones keep their reason."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "INSERT INTO suppression (phone, reason)"
            " SELECT DISTINCT phone, $2 FROM unnest($1::text[]) AS p(phone)"
            " ON CONFLICT (phone) DO NOTHING RETURNING 1",
            phones,
            reason,
        )
    return len(records)


async def unsuppress(database: Database, phones: Sequence[str]) -> int:
    """Take numbers off the list. Gives how many stood on it."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "DELETE FROM suppression WHERE phone = ANY($1::text[]) RETURNING 1", phones
        )
    return len(records)


async def suppressed(database: Database) -> list[tuple[str, str, datetime]]:
    """(phone, reason, created_at), oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT phone, reason, created_at FROM suppression ORDER BY created_at, phone"
        )
    return [(record["phone"], record["reason"], record["created_at"]) for record in records]
