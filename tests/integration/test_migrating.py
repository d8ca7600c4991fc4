"""Migrating and checking the schema, also beside others that work."""

import asyncio
import shutil
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from campaigns.domain.errors import DatabaseUnavailable, SchemaMismatch
from campaigns.store import schema, session
from campaigns.store.session import Database
from tests.conftest import open_database
from tests.integration.catalogue import catalogue
from tests.integration.rows import query
from tests.river import phones, submit
from tests.waiting import until
from worker.cli.doctor.postgres import revision


@pytest.fixture
def one_more_migration(tmp_path: Path) -> Path:
    """The migrations as of a version that has one more; gives their folder, to be switched to."""
    folder = tmp_path / "100% migrations"  # what a path may hold and a configuration file may not
    shutil.copytree(schema._MIGRATIONS, folder)
    (folder / "versions" / "9999_add_one_more.py").write_text(
        f"from alembic import op\nrevision, down_revision = '9999', '{schema.head()}'\nOLDEST_CODE = '9999'\n"
        "def upgrade():\n    op.execute('CREATE TABLE one_more (id int)')\n"
    )
    return folder


# --- migrating and checking -------------------------------------------------------------------------


def test_the_migrations_are_called_by_their_revisions_in_their_order() -> None:
    """What `campaigns status` reads from the files' names is what alembic finds in the files."""
    configuration = Config()
    configuration.set_main_option("script_location", str(schema._MIGRATIONS).replace("%", "%%"))
    directory = ScriptDirectory.from_config(configuration)
    chain = [script.revision for script in directory.walk_revisions()]

    assert directory.get_heads() == [schema.head()]
    assert schema._known() == chain[::-1] != []


async def test_an_empty_database_is_told_to_migrate_and_then_is_well(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match="holds no campaigns schema yet; run: campaigns migrate"):
        await schema.check(empty)

    assert await schema.migrate(empty) == schema.head()
    assert await schema.check(empty) == schema.head()


async def test_migrating_again_changes_nothing(database: Database) -> None:
    taken = await submit(database, phones(3))
    before = await catalogue(database)

    assert await schema.migrate(database) == schema.head()

    assert await catalogue(database) == before
    assert await query(database, "SELECT id FROM campaign") == [{"id": taken.id}]


async def test_any_number_may_migrate_at_once(empty_database_url: str, empty: Database) -> None:
    databases = [open_database(empty_database_url, pool_size=1) for _ in range(5)]
    try:
        revisions = await asyncio.gather(*(schema.migrate(database) for database in databases))
    finally:
        for database in databases:
            await database.close()

    assert revisions == [schema.head()] * 5
    assert await schema.check(empty) == schema.head()


async def test_who_migrates_second_waits_however_long_the_first_takes(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on waiting for locks is for work that is tried again, not for this."""
    monkeypatch.setitem(session.SETTINGS, "lock_timeout", "100ms")
    async with empty.own_connection() as first:
        await first.execute(f"SELECT pg_advisory_lock({schema._LOCK})")
        second = asyncio.ensure_future(schema.migrate(empty))
        async with asyncio.timeout(60):
            while not await first.fetch(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
                " AND clock_timestamp() - query_start > interval '400 milliseconds'"
            ):
                assert not second.done(), await second
                await asyncio.sleep(0.02)

    assert await second == schema.head()


async def test_an_older_schema_is_told_to_migrate(
    database: Database, one_more_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = schema.head()
    monkeypatch.setattr(schema, "_MIGRATIONS", one_more_migration)

    with pytest.raises(SchemaMismatch) as caught:
        await schema.check(database)
    assert str(caught.value) == (
        f"the database schema ({older}) is older than this code (9999); run: campaigns migrate"
    )
    assert await schema.migrate(database) == "9999"
    assert await schema.check(database) == "9999"
    assert await query(database, "SELECT * FROM one_more") == []


async def test_a_newer_schema_is_left_alone(
    database: Database, one_more_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(schema, "_MIGRATIONS", one_more_migration)
        await schema.migrate(database)
    before = await catalogue(database)

    for work in (schema.check, schema.migrate):
        with pytest.raises(SchemaMismatch) as caught:
            await work(database)
        assert str(caught.value) == (
            f"the database schema (9999) is newer than this code ({schema.head()}); "
            "run the version of campaigns that made it, or a newer one"
        )
    assert await catalogue(database) == before


async def test_the_release_before_works_on_the_next_ones_schema(
    database: Database, one_more_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the migration says so. Then this code starts, and its `migrate` changes no function either."""
    path = one_more_migration / "versions" / "9999_add_one_more.py"
    path.write_text(path.read_text().replace("OLDEST_CODE = '9999'", f"OLDEST_CODE = '{schema.head()}'"))
    with monkeypatch.context() as newer:
        newer.setattr(schema, "_MIGRATIONS", one_more_migration)
        await schema.migrate(database)
    await query(database, "ALTER FUNCTION count_messages(bigint[]) VOLATILE")  # as the next release has it
    before = await catalogue(database)
    told: list[str] = []

    assert await schema.check(database) == "9999"
    assert await schema.migrate(database, told.append) == "9999"
    assert [finding.status for finding in await revision(database)] == ["ok", "note"]

    assert await catalogue(database) == before
    assert await schema.differing_functions(database) == ["count_messages"]
    assert told == [
        f"the schema is newer than this code ({schema.head()}), which may work on it: nothing is changed"
    ]


async def test_a_migration_that_fails_leaves_the_schema_it_found(
    database: Database, one_more_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a transaction of its own: there is no half schema that neither version knows."""
    before = schema.head()
    monkeypatch.setattr(schema, "_MIGRATIONS", one_more_migration)
    await query(database, "CREATE TABLE one_more (id text)")
    found = await catalogue(database)

    with pytest.raises(Exception, match="one_more"):
        await schema.migrate(database)

    with pytest.raises(SchemaMismatch, match=rf"\({before}\) is older than this code \(9999\)"):
        await schema.check(database)
    assert await catalogue(database) == found


# --- beside others that work ------------------------------------------------------------------------


@pytest.fixture
def altering(one_more_migration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a version whose migration alters a table that everybody works with."""
    path = one_more_migration / "versions" / "9999_add_one_more.py"
    path.write_text(
        path.read_text().replace("CREATE TABLE one_more (id int)", "ALTER TABLE batch ADD more int")
    )
    monkeypatch.setattr(schema, "_MIGRATIONS", one_more_migration)


@pytest.mark.usefixtures("altering")
async def test_a_migration_lets_those_who_work_go_first(database: Database, database_url: str) -> None:
    """An export holds the table for minutes; whoever comes behind the waiting migration is not kept out."""
    told: list[str] = []
    async with database.transaction() as export:
        await export.execute("SELECT count(*) FROM batch")
        migrating = asyncio.ensure_future(schema.migrate(database, told.append))
        await until(lambda: told, "it could not have its lock")
        for _ in range(3):
            async with asyncio.timeout(8):  # a second behind it, on a busy machine
                await query(database, "SELECT count(*) FROM batch")
        assert not migrating.done()

    assert await migrating == "9999"
    assert "waiting for a lock; whoever works goes first; the oldest transaction is open for" in told[0]
    assert await query(database, "SELECT more FROM batch") == []


@pytest.mark.usefixtures("altering")
async def test_a_migration_that_gets_no_lock_says_who_has_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_PATIENCE_SECONDS", 0)
    before = await catalogue(database)
    async with database.transaction() as export:
        pid = export.get_server_pid()
        await export.execute("SELECT count(*) FROM batch")
        with pytest.raises(
            DatabaseUnavailable, match=rf"got no lock within 0 s .* \(session {pid}, campaigns\)"
        ):
            await schema.migrate(database)

    assert await catalogue(database) == before
    assert await schema.migrate(database) == "9999"


async def test_a_server_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    away = open_database(f"postgresql://nobody@/nowhere?host={tmp_path}&port=5432")
    try:
        for work in (schema.check, schema.migrate):
            with pytest.raises(DatabaseUnavailable, match="PostgreSQL cannot be used"):
                await work(away)
    finally:
        await away.close()
