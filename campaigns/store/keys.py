"""SQL of the API's keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from campaigns.domain.allowance import Allowance
from campaigns.store.session import Database

NOTE_AGAIN = timedelta(minutes=1)
"""How often a use is noted: a key may be used thousands of times a minute, and that is one write."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of the API as everybody who manages keys may see it: without its secret."""

    id: str
    owner: str
    scopes: Sequence[str]
    accounts: Sequence[str] | None  # None: all
    is_for_all_owners: bool
    allowance: Allowance
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it may be used now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


_ALLOWANCE = ("recipients_per_day", "segments_per_month", "approval_above")
_COLUMNS = (
    "id, owner, scopes, accounts, is_for_all_owners, created_at, expires_at, revoked_at, last_used_at, "
    f"{', '.join(_ALLOWANCE)}"
)


def read_key(record: asyncpg.Record) -> KeyRow:
    """A key out of a row that has its columns, and perhaps others."""
    given = {name: record[name] for name in _COLUMNS.split(", ")}
    allowance = Allowance(*(given.pop(name) for name in _ALLOWANCE))
    return KeyRow(**given, allowance=allowance)


async def add(database: Database, row: KeyRow, secret_hash: bytes, *, most: int) -> bool:
    """Store a new key. False: its owner has `most` that are valid already, and nothing was stored."""
    async with database.transaction() as connection:
        # Two at once would both find room for one.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('keys of ' || $1, 0))", row.owner
        )
        stored = await connection.fetchval(
            "INSERT INTO api_key (id, owner, scopes, accounts, is_for_all_owners, created_at, expires_at,"
            " secret_hash, recipients_per_day, segments_per_month, approval_above)"
            " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11"
            " WHERE (SELECT count(*) FROM api_key WHERE owner = $2 AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now())) < $12 RETURNING true",
            row.id,
            row.owner,
            list(row.scopes),
            row.accounts and list(row.accounts),
            row.is_for_all_owners,
            row.created_at,
            row.expires_at,
            secret_hash,
            row.allowance.recipients_per_day,
            row.allowance.segments_per_month,
            row.allowance.approval_above,
            most,
        )
    return bool(stored)


async def find(database: Database, key_id: str) -> tuple[KeyRow, bytes] | None:
    """The key with this id, and the hash of its secret."""
    async with database.connection() as connection:
        record = await connection.fetchrow(
            f"SELECT {_COLUMNS}, secret_hash FROM api_key WHERE id = $1", key_id
        )
    return None if record is None else (read_key(record), record["secret_hash"])


async def listed(
    database: Database,
    *,
    owner: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> list[KeyRow]:
    """Every key there was, the newest first. `owner`: this one's alone; `after`: those that come after the
    key of this moment and id.
    """
    made_at, key_id = after or (None, None)
    async with database.connection() as connection:
        records = await connection.fetch(
            f"SELECT {_COLUMNS} FROM api_key WHERE ($1::text IS NULL OR owner = $1)"
            " AND ($2::timestamptz IS NULL OR created_at < $2 OR (created_at = $2 AND id > $3))"
            " ORDER BY created_at DESC, id LIMIT $4",
            owner,
            made_at,
            key_id,
            limit,
        )
    return [read_key(record) for record in records]


async def revoke(database: Database, key_id: str) -> bool | None:
    """End a key. Gives False where it was revoked already, None where there is none."""
    async with database.connection() as connection:
        if await connection.fetchval(
            "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true",
            key_id,
        ):
            return True
        return False if await connection.fetchval("SELECT true FROM api_key WHERE id = $1", key_id) else None


async def note_use(database: Database, row: KeyRow) -> None:
    """Note that a key was used, unless that was noted a moment ago."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE api_key SET last_used_at = now()"
            " WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - $2::interval)",
            row.id,
            NOTE_AGAIN,
        )
