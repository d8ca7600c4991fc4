"""A database that goes back in time, and a Redis that executes a script and loses its answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway

from campaigns.store.session import Database

_TABLES = ("campaign", "batch", "message", "message_by_provider_id")


async def keep_backup(database: Database) -> None:
    """Keep what the database knows now."""
    async with database.connection() as connection:
        for table in _TABLES:
            await connection.execute(f"CREATE TABLE backup_{table} AS TABLE {table}")


async def forget_backup(database: Database) -> None:
    """There is no backup any more."""
    async with database.connection() as connection:
        for table in _TABLES:
            await connection.execute(f"DROP TABLE IF EXISTS backup_{table}")


async def go_back(database: Database) -> None:
    """Make the database what it was at its backup: no trigger, no law and no key sees it."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = 'replica'")
        for table in _TABLES:
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608  our own tables
            await connection.execute(f"INSERT INTO {table} SELECT * FROM backup_{table}")  # noqa: S608  our own


class LossyRedis(Redis):
    """Carries scripts out, as often as `lost` says without an answer."""

    lost = 0

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        answer = await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
        if arguments[0] == "EVALSHA" and self.lost:
            self.lost -= 1
            raise RedisAway("Connection closed by server.")
        return answer


@asynccontextmanager
async def lossy_redis(url: str) -> AsyncIterator[LossyRedis]:
    """A client of the Redis at `url`, closed at the end."""
    client = LossyRedis.from_url(url)
    assert isinstance(client, LossyRedis)
    async with client:
        yield client
