"""Brings the database to the schema of this code, and checks that it is there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from campaigns.domain.errors import DatabaseUnavailable, DatabaseUnfit, SchemaMismatch
from campaigns.store import database_functions, server
from campaigns.store.session import Connection, Database

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7266483  # any number; two migrations at once would otherwise race

# Who waits for a lock on a table keeps out everybody who comes later: so a migration waits for a moment,
# lets them all pass, and tries again. One that must take longer lifts its own limits, as migrations/
# script.py.mako shows.
_LIMITS = """
    SELECT set_config('lock_timeout', '1s', false);
    SELECT set_config(name, '30s', false) FROM pg_settings
    WHERE name IN ('statement_timeout', 'transaction_timeout') -- the latter from PostgreSQL 17 on
"""
_PAUSE_SECONDS = 2.0  # between two tries of a migration to get its locks
_PATIENCE_SECONDS = 600.0  # for those locks; then it gives up, with nothing half done

_OLDEST_TRANSACTION = """
    SELECT format('session %s, %s', pid, coalesce(nullif(application_name, ''), 'no name')) AS who,
           extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT 1
"""


def _known() -> list[str]:
    """The revisions there are, oldest first: a migration's file is called by its own."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The revision this code was written for. Raises SchemaMismatch where there is none."""
    known = _known()
    if not known:
        raise SchemaMismatch("this installation holds no migrations; install it again")
    return known[-1]


# Releases have an account on each batch, and all that went before them has none: revisions tell nothing, for
# they are counted anew from the first release on.
_CURRENT = """
    SELECT v.version_num AS revision, to_jsonb(v) ->> 'oldest_code' AS oldest_code, NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('batch') AND attname = 'account'
    ) AS is_from_before
    FROM alembic_version v
"""


class _Schema(NamedTuple):
    """Where a database stands."""

    revision: str
    oldest_code: str | None  # the revision of the oldest code that may still work on it

    @property
    def is_newer(self) -> bool:
        """Whether a newer release made it, for which this code may go on working."""
        return self.revision not in _known() and self.oldest_code in _known()


async def _current(connection: Connection) -> _Schema | None:
    """Where the database stands, None where there is no schema. Raises SchemaMismatch for a database from
    before the first release.
    """
    if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        return None
    found = await connection.fetchrow(_CURRENT)
    if found is None:
        return None
    if found["is_from_before"]:
        raise SchemaMismatch(
            f"the database schema ({found['revision']}) was made by a version from before the first release, "
            "and nothing leads on from there: export what you need with that version, make the database "
            "anew (DROP DATABASE, CREATE DATABASE) and run: campaigns migrate"
        )
    return _Schema(found["revision"], found["oldest_code"])


def _unsaid(_sentence: str) -> None:
    """Nobody listens."""


async def migrate(database: Database, say: Callable[[str], None] = _unsaid) -> str:
    """Bring the schema to head, and install the functions of this release. Gives the revision it stands at.
    Idempotent; any number may run it at once, and beside workers that go on working: each migration is a
    transaction of its own, which waits a second for its locks and is tried again. Takes whom to tell what is
    waited for. Where a newer release has made the schema and this code may work on it, nothing is changed.

    Raises SchemaMismatch for a database that is too new (going back would lose data) or from before the first
    release, DatabaseUnfit where our role cannot do it, and DatabaseUnavailable, also where a lock could not
    be had.
    """
    # Locked on a connection of its own: the second waits as long as the first's migration takes, while
    # the migration itself keeps its bounds on statements and locks.
    async with database.own_connection() as connection:
        if await _is_done(connection, await _current(connection)):
            return head()
        await connection.execute("SET lock_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        current = await _current(connection)
        if current is not None and current.is_newer:
            say(f"the schema is newer than this code ({head()}), which may work on it: nothing is changed")
            return current.revision
        if current is not None and current.revision not in _known():
            raise SchemaMismatch(_newer(current))
        if await _is_done(connection, current):  # by the one we waited for
            return head()
        await server.refuse_to_migrate(database, connection)
        await _upgrade_between_others(database, connection, say)
        await database_functions.install(connection)
    return head()


async def _upgrade_between_others(
    database: Database, connection: Connection, say: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_SECONDS
    while (refused := await _try_to_upgrade(database)) is not None:
        oldest = await connection.fetchrow(_OLDEST_TRANSACTION)
        who = (
            f"; the oldest transaction is open for {oldest['seconds']} s ({oldest['who']})" if oldest else ""
        )
        if loop.time() >= until:
            raise DatabaseUnavailable(
                f"the migration got no lock within {_PATIENCE_SECONDS:g} s ({refused}){who}: "
                "end what stands in its way, and run campaigns migrate again"
            )
        say(f"waiting for a lock; whoever works goes first{who}")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _try_to_upgrade(database: Database) -> str | None:
    """Gives why not, where others hold what it needs."""
    async with database.own_connection() as driver:
        await driver.execute(_LIMITS)
        try:
            async with _engine(driver) as engine, engine.connect() as connection:
                await connection.run_sync(_upgrade)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as refused:
            return str(refused.args[0])
    return None


async def _is_done(connection: Connection, current: _Schema | None) -> bool:
    if current is None or current.revision != head():
        return False
    return not await database_functions.differing(connection)


@asynccontextmanager
async def in_sqlalchemy(database: Database) -> AsyncIterator["AsyncConnection"]:
    """A connection as SQLModel and alembic want one, in one transaction; closed at the end.

    Raises what the driver says, not what SQLAlchemy makes of it, and DatabaseUnavailable.
    """
    async with (
        database.connection() as driver,
        _engine(driver) as engine,
        engine.begin() as connection,
    ):
        yield connection


@asynccontextmanager
async def _engine(driver: Connection) -> AsyncIterator["AsyncEngine"]:
    """SQLAlchemy on a connection of the driver's. Raises what the driver says."""
    # As with alembic below: loaded for the one command that changes the schema.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  the line above
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  the line above
    from sqlalchemy.pool import NullPool  # noqa: PLC0415  the line above

    async def given() -> Connection:
        return driver

    try:
        yield create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=given)
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


def _newer(current: _Schema) -> str:
    return (
        f"the database schema ({current.revision}) is newer than this code ({head()}); "
        "run the version of campaigns that made it, or a newer one"
    )


async def check(database: Database) -> str:
    """Gives the revision when the schema is the one this code needs, or a newer release's on which it may
    still work (`oldest_code`). Raises SchemaMismatch otherwise, DatabaseUnfit where it is hidden from our
    role, DatabaseUnavailable when there is nobody to ask.
    """
    async with database.connection() as connection:
        current = await _current(connection)
        fits = current is not None and (current.revision == head() or current.is_newer)
        missing = await database_functions.missing(connection) if fits else []
    if missing:
        raise SchemaMismatch(
            f"the database lacks functions that this code calls ({', '.join(missing)}); "
            "run: campaigns migrate"
        )
    if current is not None and fits:
        return current.revision
    if current is None:
        for sentence in (await server.look(database)).hidden():
            raise DatabaseUnfit(f"PostgreSQL cannot be used: {sentence}")
        raise SchemaMismatch("the database holds no campaigns schema yet; run: campaigns migrate")
    if current.revision in _known():
        raise SchemaMismatch(
            f"the database schema ({current.revision}) is older than this code ({head()}); "
            "run: campaigns migrate"
        )
    raise SchemaMismatch(_newer(current))


async def differing_functions(database: Database) -> list[str]:
    """The functions that the database has with another text than this release's files. No reason to refuse:
    during an upgrade the newer release's are there, and they work for this one's calls. Raises
    DatabaseUnavailable.
    """
    async with database.connection() as connection:
        return await database_functions.differing(connection)
