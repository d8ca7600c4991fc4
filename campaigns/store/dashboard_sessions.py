"""SQL of the browsers that are signed in to the dashboard."""

from datetime import timedelta

from campaigns.store.keys import KeyRow, read_key
from campaigns.store.session import Database

_ALIVE = "s.created_at > now() - $1::interval AND s.used_at > now() - $2::interval"
_NOTE_AGAIN = timedelta(minutes=1)  # a page that is looked at is one write a minute


async def add(
    database: Database, key_id: str, secret_hash: bytes, *, longest: timedelta, idle: timedelta
) -> None:
    """Store a new session, and forget those that are over."""
    async with database.connection() as connection:
        await connection.execute(f"DELETE FROM dashboard_session s WHERE NOT ({_ALIVE})", longest, idle)
        await connection.execute(
            "INSERT INTO dashboard_session (secret_hash, key_id) VALUES ($1, $2)", secret_hash, key_id
        )


async def key_of(
    database: Database, secret_hash: bytes, *, longest: timedelta, idle: timedelta
) -> KeyRow | None:
    """The key that a session was signed in with, whatever became of it; None where the session is over or is
    none. Notes that the session was used.
    """
    async with database.connection() as connection:
        record = await connection.fetchrow(
            "SELECT k.*, s.used_at < now() - $4::interval AS is_to_note"
            " FROM dashboard_session s JOIN api_key k ON k.id = s.key_id"
            f" WHERE {_ALIVE} AND s.secret_hash = $3",
            longest,
            idle,
            secret_hash,
            _NOTE_AGAIN,
        )
        if record is not None and record["is_to_note"]:
            await connection.execute(
                "UPDATE dashboard_session SET used_at = now() WHERE secret_hash = $1", secret_hash
            )
    return None if record is None else read_key(record)


async def take(database: Database, secret_hash: bytes, *, longest: timedelta) -> KeyRow | None:
    """End a session that is not older than `longest`. Gives its key, whatever became of it: to one of those
    who ask at the same time. None where it is over or is none.
    """
    async with database.connection() as connection:
        record = await connection.fetchrow(
            "DELETE FROM dashboard_session s USING api_key k"
            " WHERE k.id = s.key_id AND s.secret_hash = $1 AND s.created_at > now() - $2::interval"
            " RETURNING k.*",
            secret_hash,
            longest,
        )
    return None if record is None else read_key(record)


async def delete(database: Database, secret_hash: bytes) -> None:
    """End a session."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM dashboard_session WHERE secret_hash = $1", secret_hash)
