"""Brings the database to the schema this code was written for, and says when it is not there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from campaigns.domain.errors import SchemaMismatch
from campaigns.store.session import Database

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7266483  # any number; two migrations at once would otherwise race


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return configuration


def head() -> str:
    """The revision this code was written for."""
    revision = ScriptDirectory.from_config(_configuration()).get_current_head()
    if revision is None:
        raise SchemaMismatch("this installation holds no migrations; install it again")
    return revision


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def migrate(database: Database) -> str:
    """Bring the schema to head. Gives the revision it stands at. Idempotent; any number may run it at once.

    Raises SchemaMismatch for a database made by a newer version (going back would lose data), and
    DatabaseUnavailable.
    """

    def upgrade(connection: Connection) -> None:
        current = _current(connection)
        known = {script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()}
        if current is not None and current not in known:
            raise SchemaMismatch(_newer(current))
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")

    # Locked on a connection of its own: the second waits as long as the first's migration takes, while
    # the migration itself keeps its bounds on statements and locks.
    async with database.own_connection() as turn:
        await turn.execute("SET lock_timeout = 0")
        await turn.execute(f"SELECT pg_advisory_lock({_LOCK})")
        async with database.engine.begin() as connection:
            await connection.run_sync(upgrade)
    return head()


def _newer(current: str) -> str:
    return (
        f"the database schema ({current}) is newer than this code ({head()}); "
        "run the version of campaigns that made it, or a newer one"
    )


async def check(database: Database) -> str:
    """Gives the revision when the schema is the one this code needs. Raises SchemaMismatch otherwise,
    DatabaseUnavailable when there is nobody to ask.
    """
    async with database.connection() as connection:
        exists = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        current: str | None = (
            await connection.fetchval("SELECT version_num FROM alembic_version") if exists else None
        )
    if current == head():
        return current
    if current is None:
        raise SchemaMismatch("the database holds no campaigns schema yet; run: campaigns migrate")
    known = {script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()}
    if current in known:
        raise SchemaMismatch(
            f"the database schema ({current}) is older than this code ({head()}); run: campaigns migrate"
        )
    raise SchemaMismatch(_newer(current))


async def server_version(database: Database) -> str:
    """The server's own version. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        return str(await connection.fetchval("SHOW server_version"))
