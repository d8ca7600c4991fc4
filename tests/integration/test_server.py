"""What PostgreSQL must be like: rights, schema, encoding, primary; each lack with its sentence."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaigns.domain.errors import DatabaseUnfit
from campaigns.store import schema, server
from campaigns.store.session import Database
from tests.conftest import open_database, with_database
from tests.integration.rows import query

ROLE = "clerk"


@pytest.fixture
async def clerk(empty_database_url: str) -> AsyncIterator[tuple[Database, asyncpg.Connection]]:
    """An ordinary role in a database that is nobody else's, and the superuser beside it."""
    boss = await asyncpg.connect(empty_database_url)
    await boss.execute(f"CREATE ROLE {ROLE} LOGIN")
    opened = open_database(empty_database_url.replace("postgres@", f"{ROLE}@"))
    yield opened, boss
    await opened.close()
    await boss.execute(f"DROP OWNED BY {ROLE} CASCADE")
    await boss.execute(f"DROP ROLE {ROLE}")
    await boss.close()


async def lacks(database: Database) -> str:
    return "\n".join((await server.look(database)).lacks())


async def test_migrate_names_the_grant_it_needs(clerk: tuple[Database, asyncpg.Connection]) -> None:
    database, boss = clerk
    with pytest.raises(DatabaseUnfit, match=f"GRANT CREATE ON SCHEMA public TO {ROLE}"):
        await schema.migrate(database)

    await boss.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    await database.close()
    with pytest.raises(DatabaseUnfit, match=r"sees no schema .* to make tables in"):
        await schema.migrate(database)

    await boss.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}")
    assert await schema.migrate(database) == schema.head()


async def test_a_role_that_does_not_own_the_tables_cannot_migrate(
    database_url: str, clerk: tuple[Database, asyncpg.Connection]
) -> None:
    owner = open_database(database_url)
    await query(owner, f"GRANT CREATE ON SCHEMA public TO {ROLE}")
    await query(owner, f"GRANT SELECT ON alembic_version TO {ROLE}")
    await query(owner, "DROP FUNCTION hold_leases(jsonb)")  # there is something to do
    other = open_database(database_url.replace("postgres@", f"{ROLE}@"))
    with pytest.raises(DatabaseUnfit, match="run `campaigns migrate` as postgres, not as clerk"):
        await schema.migrate(other)
    await other.close()
    await query(owner, f"DROP OWNED BY {ROLE} CASCADE")
    await owner.close()


async def test_each_right_that_is_missing_is_named(
    database_url: str, clerk: tuple[Database, asyncpg.Connection]
) -> None:
    owner = open_database(database_url)
    name = database_url.partition("?")[0].rpartition("/")[2]
    await query(owner, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    await query(owner, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    other = open_database(database_url.replace("postgres@", f"{ROLE}@"))

    said = await lacks(other)
    assert f"GRANT TEMPORARY ON DATABASE {name} TO {ROLE}" in said
    assert f"role {ROLE} may not DELETE, INSERT, UPDATE in table account_currency (and rights on " in said

    await query(owner, f"GRANT TEMPORARY ON DATABASE {name} TO {ROLE}")
    await query(owner, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
    assert await lacks(other) == ""
    await query(owner, f"ALTER ROLE {ROLE} CONNECTION LIMIT 8")
    assert "may have 8 connections, and a worker needs about eight" in await lacks(other)
    await other.close()
    await query(owner, f"DROP OWNED BY {ROLE} CASCADE")
    await owner.close()


async def test_tables_in_a_schema_one_does_not_see_are_found(
    clerk: tuple[Database, asyncpg.Connection],
) -> None:
    database, boss = clerk
    await boss.execute("CREATE SCHEMA app; CREATE TABLE app.alembic_version (version_num text)")

    with pytest.raises(
        DatabaseUnfit, match=r"GRANT USAGE ON SCHEMA app TO clerk; ALTER ROLE clerk IN DATABASE"
    ):
        await schema.check(database)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_another_encoding_is_refused_by_all(empty_database_url: str, encoding: str) -> None:
    boss = await asyncpg.connect(empty_database_url)
    name = f"old_{encoding.lower()}"
    await boss.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    other = open_database(with_database(empty_database_url, name))
    for ask in (schema.migrate, schema.check):
        with pytest.raises(DatabaseUnfit, match=f"has the encoding {encoding}"):
            await ask(other)
    await other.close()
    await boss.execute(f"DROP DATABASE {name}")
    await boss.close()


async def test_what_cannot_be_written_to_cannot_be_migrated(empty_database_url: str) -> None:
    """A standby, or a server that was told to spare its disk."""
    boss = await asyncpg.connect(empty_database_url)
    name = empty_database_url.partition("?")[0].rpartition("/")[2]
    await boss.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await boss.close()
    database = open_database(empty_database_url)
    with pytest.raises(DatabaseUnfit, match="CAMPAIGNS_DATABASE_URL must lead to the primary"):
        await schema.migrate(database)
    await database.close()


async def test_a_log_that_would_hold_texts_and_an_old_release_are_remarked(database_url: str) -> None:
    boss = await asyncpg.connect(database_url)
    name = database_url.partition("?")[0].rpartition("/")[2]
    await boss.execute(f"ALTER DATABASE {name} SET log_min_duration_statement = 250")
    await boss.close()
    database = open_database(database_url)
    found = await server.look(database)
    said = list(found.remarks())
    await database.close()
    assert "ALTER ROLE postgres SET log_parameter_max_length = 0 (by a superuser)" in said[-1]
    assert "fsync is off" in said[-2]  # as the tests' server is
    major, minor = divmod(found.version_number, 10_000)
    assert ("known holes" in said[0]) is (minor < server._SOUND.get(major, 0))
