"""Brings the database to the schema this code was written for, and says when it is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.domain.errors import DatabaseUnfit, SchemaMismatch
from campaigns.store import server
from campaigns.store.session import Connection, Database

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import AsyncConnection

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7266483  # any number; two migrations at once would otherwise race


def _known() -> list[str]:
    """The revisions there are, oldest first: a migration's file is called by its own."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The revision this code was written for. Raises SchemaMismatch where there is none."""
    known = _known()
    if not known:
        raise SchemaMismatch("this installation holds no migrations; install it again")
    return known[-1]


async def _current(connection: Connection) -> str | None:
    exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    revision: str | None = (
        await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
    )
    return revision


async def migrate(database: Database) -> str:
    """Bring the schema to head. Gives the revision it stands at. Idempotent; any number may run it at once.

    Raises SchemaMismatch for a database made by a newer version (going back would lose data),
    DatabaseUnfit where our role cannot do it, and DatabaseUnavailable.
    """
    # Locked on a connection of its own: the second waits as long as the first's migration takes, while
    # the migration itself keeps its bounds on statements and locks.
    async with database.own_connection() as turn:
        if await _current(turn) == head():
            return head()
        await turn.execute("SET lock_timeout = 0")
        await turn.execute(f"SELECT pg_advisory_lock({_LOCK})")
        current = await _current(turn)
        if current is not None and current not in _known():
            raise SchemaMismatch(_newer(current))
        await server.refuse_to_migrate(database, turn)
        async with in_sqlalchemy(database) as connection:
            await connection.run_sync(_upgrade)
    return head()


@asynccontextmanager
async def in_sqlalchemy(database: Database) -> AsyncIterator["AsyncConnection"]:
    """A connection as SQLModel and alembic want one, in one transaction; closed at the end.

    Raises what the driver says, not what SQLAlchemy makes of it, and DatabaseUnavailable.
    """
    # As with alembic below: loaded for the one command that changes the schema.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  the line above
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  the line above
    from sqlalchemy.pool import NullPool  # noqa: PLC0415  the line above

    async with database.connection() as driver:

        async def given() -> Connection:
            return driver

        engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=given)
        try:
            async with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            cause = error.orig.__cause__ if error.orig is not None else None
            raise cause or error from error


def _upgrade(connection: "sqlalchemy.Connection") -> None:
    # Every command looks at the schema, few change it: what changes it costs a tenth of a second to load.
    from alembic import command  # noqa: PLC0415  the line above
    from alembic.config import Config  # noqa: PLC0415  the line above

    configuration = Config()
    configuration.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def _newer(current: str) -> str:
    return (
        f"the database schema ({current}) is newer than this code ({head()}); "
        "run the version of campaigns that made it, or a newer one"
    )


async def check(database: Database) -> str:
    """Gives the revision when the schema is the one this code needs. Raises SchemaMismatch otherwise,
    DatabaseUnfit where it is hidden from our role, DatabaseUnavailable when there is nobody to ask.
    """
    async with database.connection() as connection:
        current = await _current(connection)
    if current == head():
        return current
    if current is None:
        for sentence in (await server.look(database)).hidden():
            raise DatabaseUnfit(f"PostgreSQL cannot be used: {sentence}")
        raise SchemaMismatch("the database holds no campaigns schema yet; run: campaigns migrate")
    if current in _known():
        raise SchemaMismatch(
            f"the database schema ({current}) is older than this code ({head()}); run: campaigns migrate"
        )
    raise SchemaMismatch(_newer(current))
