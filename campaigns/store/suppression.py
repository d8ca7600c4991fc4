"""The suppression list: numbers that nothing is sent to.

Looked at twice: when a campaign is taken in, and again when the intent of a hand-over is written. What is
being handed over when a number is added cannot be called back.
"""

from collections.abc import Sequence
from datetime import datetime

from campaigns.store.person import IS_LISTED, person_key
from campaigns.store.session import Database


async def suppress(database: Database, phones: Sequence[str], reason: str) -> int:
    """Put numbers (E.164) on the list. Gives how many are new; known ones keep their reason.

    All forms of one person's number are one entry.
    """
    return await suppress_each(database, [(phone, reason) for phone in phones])


async def suppress_each(database: Database, listed: Sequence[tuple[str, str]]) -> int:
    """The same, a reason for each number."""
    key = person_key("phone")
    async with database.connection() as connection:
        records = await connection.fetch(
            "INSERT INTO suppression (phone, reason)"
            f" SELECT DISTINCT ON ({key}) phone, reason"
            " FROM unnest($1::text[], $2::text[]) AS p(phone, reason)"
            f" ORDER BY {key} ON CONFLICT DO NOTHING RETURNING 1",
            [phone for phone, _ in listed],
            [reason for _, reason in listed],
        )
    return len(records)


async def unsuppress(database: Database, phones: Sequence[str]) -> int:
    """Take numbers off the list. Gives how many stood on it."""
    async with database.connection() as connection:
        records = await connection.fetch(
            f"DELETE FROM suppression s USING unnest($1::text[]) AS p(phone)"
            f" WHERE {IS_LISTED.format(phone='p.phone')} RETURNING 1",
            phones,
        )
    return len(records)


async def is_suppressed(database: Database, phone: str) -> bool:
    """Whether the person who has this number (E.164) is on the list."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM suppression s WHERE {IS_LISTED.format(phone='$1::text')})",
                phone,
            )
        )


async def find(database: Database, phones: Sequence[str]) -> list[tuple[str, str, datetime]]:
    """Which of these numbers (E.164) are on the list, as (phone, reason, created_at), in order of number."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT DISTINCT s.phone, s.reason, s.created_at FROM suppression s"
            f" JOIN unnest($1::text[]) AS p(phone) ON {IS_LISTED.format(phone='p.phone')} ORDER BY s.phone",
            phones,
        )
    return [(record["phone"], record["reason"], record["created_at"]) for record in records]


async def page(database: Database, *, limit: int, after: str = "") -> list[tuple[str, str, datetime]]:
    """The next (phone, reason, created_at), in order of number."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT phone, reason, created_at FROM suppression WHERE phone > $2 ORDER BY phone LIMIT $1",
            limit,
            after,
        )
    return [(record["phone"], record["reason"], record["created_at"]) for record in records]


async def suppressed(database: Database) -> list[tuple[str, str, datetime]]:
    """(phone, reason, created_at), oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT phone, reason, created_at FROM suppression ORDER BY created_at, phone"
        )
    return [(record["phone"], record["reason"], record["created_at"]) for record in records]
