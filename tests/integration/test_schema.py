"""The database is what `tables.py` says, whichever way it came to be, and refuses what the laws forbid."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlmodel import SQLModel

from campaigns.domain.errors import DatabaseUnavailable, SchemaMismatch
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store import schema, session, tables
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Database
from tests import law_trigger
from tests.conftest import open_database
from tests.integration.rows import Row, query
from tests.river import phones, submit
from tests.waiting import until
from worker.cli.doctor.postgres import revision

# What there is, by what it is called: everything that decides what the database takes and how it finds it.
CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, ordinal_position, udt_name, is_nullable, column_default,
               is_identity, identity_generation, numeric_precision, character_maximum_length, collation_name
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text AS table_name, conname, contype::text,
               pg_get_constraintdef(oid) AS definition, condeferrable, convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "states": """
        SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS words
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname""",
    "others": """
        SELECT relname, relkind::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 't')""",
}


async def catalogue(database: Database) -> dict[str, list[Row]]:
    """All of it, without what alembic keeps for itself."""
    found = {}
    for what, sql in CATALOGUE.items():
        rows = [row for row in await query(database, sql) if "alembic" not in repr(row)]
        # Columns in their order; the rest by whatever they are called.
        found[what] = sorted(rows, key=lambda row: [str(value) for value in row.values()])
    return found


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    """A database without a schema."""
    opened = open_database(empty_database_url)
    yield opened
    await opened.close()


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


# --- two ways to one schema ----------------------------------------------------------------------------


async def test_the_migrations_make_what_the_tables_say(database: Database, empty: Database) -> None:
    """One database by the migrations, one straight from the tables: nothing differs."""
    async with schema.in_sqlalchemy(empty) as connection:
        await connection.run_sync(SQLModel.metadata.create_all)

    migrated, declared = await catalogue(database), await catalogue(empty)

    assert migrated["columns"]
    for what in CATALOGUE:
        if what == "columns":  # a column that came later stands last; where it stands decides nothing
            for row in (*migrated[what], *declared[what]):
                del row["ordinal_position"]
        assert migrated[what] == declared[what], what


async def test_there_is_one_trigger_and_it_is_known(database: Database) -> None:
    """Tables cannot declare one; none may come or go unseen. Beside it stand those of tests alone."""
    triggers = await query(
        database,
        "SELECT tgname::text AS name, tgrelid::regclass::text AS of FROM pg_trigger WHERE NOT tgisinternal",
    )
    of_tests = {(name, of) for name in law_trigger.NAMES for of in ("message", "batch", "campaign")}
    assert {(row["name"], row["of"]) for row in triggers} - of_tests == {("batch_changed_when_done", "batch")}


async def test_alembic_finds_nothing_to_add(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, SQLModel.metadata))

    async with schema.in_sqlalchemy(database) as connection:
        assert await connection.run_sync(differences) == []
    assert set(SQLModel.metadata.tables) == {
        table.__tablename__
        for table in vars(tables).values()
        if isinstance(table, type) and issubclass(table, SQLModel) and table is not SQLModel
    }


async def test_states_are_the_laws_words_in_the_laws_order(database: Database) -> None:
    """In order, because the database merges evidence by comparing them."""
    found = {row["typname"]: row["words"] for row in (await catalogue(database))["states"]}

    assert found == {
        "campaign_state": [state.value for state in CampaignState],
        "batch_state": [state.value for state in BatchState],
        "message_state": [state.value for state in MessageState],
    }
    ranked = await query(
        database,
        "SELECT a::text, b::text, greatest(a, b)::text AS higher"
        " FROM unnest(enum_range(NULL::message_state)) a, unnest(enum_range(NULL::message_state)) b",
    )
    assert len(ranked) == len(MessageState) ** 2
    for row in ranked:
        pair = MessageState(row["a"]), MessageState(row["b"])
        assert row["higher"] == max(pair, key=lambda state: state.rank)


async def test_a_tally_has_a_column_for_every_message_state() -> None:
    columns = SQLModel.metadata.tables["batch"].columns.keys()
    assert [f"{state}_count" for state in MessageState] == list(TALLY_COLUMNS)
    assert set(TALLY_COLUMNS) <= set(columns)


async def test_messages_and_batches_are_rewritten_in_place(database: Database) -> None:
    """Nothing that changes on a message is indexed, and its pages keep room: its updates stay HOT, all three
    of an ordinary life.
    """
    (indexed,) = await query(
        database, "SELECT array_agg(indexdef) AS all FROM pg_indexes WHERE tablename = 'message'"
    )
    assert [each.partition(" USING btree ")[2] for each in indexed["all"]] == ['(batch_id, "position")']
    options = {
        row["relname"]: set(row["reloptions"])
        for row in await query(
            database, "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"
        )
        if row["relname"] in {"message", "batch"}
    }
    vacuum = {
        "autovacuum_vacuum_scale_factor=0.01",
        "autovacuum_analyze_scale_factor=0.02",
        "autovacuum_vacuum_cost_delay=0",
    }
    assert options == {"message": {"fillfactor=45"} | vacuum, "batch": {"fillfactor=50"} | vacuum}

    await submit(database, phones(100))
    for changed in (
        "state = 'sending', attempt = 1",
        "state = 'accepted', provider_message_id = 'id-' || position, cost = 0.045",
        "state = 'delivered', provider_state = 'DELIVERED'",
    ):
        await query(database, f"UPDATE message SET {changed}, updated_at = now()")  # noqa: S608  words from above
    await query(database, "SELECT pg_stat_force_next_flush()")
    (updated,) = await query(
        database,
        "SELECT pg_stat_get_tuples_updated(oid) AS n, pg_stat_get_tuples_hot_updated(oid) AS hot"
        " FROM pg_class WHERE relname = 'message'",
    )
    assert updated["n"] == 300
    assert updated["hot"] > 280, updated  # where a page has no room just then, the row moves


# --- migrating and checking ------------------------------------------------------------------------------


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


# --- beside others that work -----------------------------------------------------------------------------


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


# --- what the database refuses -----------------------------------------------------------------------------

ILLEGAL = {
    "batch_tally_sums_check": "UPDATE batch SET queued_count = queued_count - 1",
    "waiting_receipt_names_check": "INSERT INTO waiting_receipt (account, provider_state)"
    " VALUES ('a', 'sent')",
    "waiting_receipt_reference_check": "INSERT INTO waiting_receipt (account, provider_state, campaign_id)"
    " VALUES ('a', 'sent', gen_random_uuid())",
    "waiting_receipt_set_aside_check": "INSERT INTO waiting_receipt (account, provider_state,"
    " provider_message_id, set_aside_at) VALUES ('a', 'sent', '1', now())",
    "pulse_kind_check": "INSERT INTO pulse (kind, name) VALUES ('web', 'w')",
    "batch_leased_until_check": "UPDATE batch SET state = 'leased', leased_for = 'sending'",
    "batch_leased_for_check": "UPDATE batch SET state = 'leased', leased_until = now(), leased_for = 'fun'",
    "batch_message_count_check": "UPDATE batch SET message_count = 101, queued_count = 101",
    "batch_queued_check": "UPDATE batch SET state = 'tracking'",
    "batch_number": (
        "INSERT INTO batch (campaign_id, account, number, state, send_at, give_up_at, message_count,"
        " queued_count) SELECT campaign_id, account, number, state, send_at, give_up_at, message_count,"
        " queued_count FROM batch"
    ),
    "campaign_finished_at_check": "UPDATE campaign SET state = 'finished'",
    "campaign_on_doubt_check": "UPDATE campaign SET on_doubt = 'perhaps'",
    "campaign_recipient_count_check": "UPDATE campaign SET recipient_count = -1",
    "campaign_submission_key_key": (
        "INSERT INTO campaign SELECT"
        " (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid()))).* FROM campaign c"
    ),
    "message_attempt_check": "UPDATE message SET state = 'sending'",
    "message_provider_message_id_check": "UPDATE message SET provider_message_id = 'id-1'",
    "message_pkey": "UPDATE message SET position = 0",
    "campaign_hold_about_check": (
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
        " SELECT id, 'number', '9', 'refused', sender_id FROM campaign"
    ),
    "campaign_hold_lifted_check": (
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id, lifted_at)"
        " SELECT id, 'text', '9', 'refused', sender_id, now() FROM campaign"
    ),
    "resolution_word_check": (
        "INSERT INTO resolution (campaign_id, message_count, word, operator)"
        " SELECT id, 1, 'perhaps', 'Ona' FROM campaign"
    ),
    "refusal_pkey": "INSERT INTO refusal SELECT * FROM refusal",
    "refusal_campaign_id_fkey": "INSERT INTO refusal VALUES (gen_random_uuid(), 1, 'empty')",
    "batch_campaign_id_fkey": "UPDATE batch SET campaign_id = gen_random_uuid()",
}


async def test_the_database_refuses_what_the_laws_forbid(
    database: Database, subtests: pytest.Subtests
) -> None:
    await submit(database, [*phones(3), {"phone": "12"}], submission_key="key")
    before = [await query(database, f"SELECT * FROM {table}") for table in ("campaign", "batch", "message")]  # noqa: S608  our own tables

    for constraint, sql in ILLEGAL.items():
        with subtests.test(constraint):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
                await query(database, sql)
            assert caught.value.constraint_name == constraint
    for word, sql in (
        ("lost", "UPDATE message SET state = 'lost'"),
        ("stopped", "UPDATE campaign SET state = 'stopped'"),
        ("asleep", "UPDATE batch SET state = 'asleep'"),
    ):
        with pytest.raises(asyncpg.InvalidTextRepresentationError, match=word):
            await query(database, sql)

    after = [await query(database, f"SELECT * FROM {table}") for table in ("campaign", "batch", "message")]  # noqa: S608  our own tables
    assert after == before
    checks = {row["conname"] for row in (await catalogue(database))["constraints"] if row["contype"] == "c"}
    assert checks <= ILLEGAL.keys(), "try each CHECK there is"


async def test_what_belongs_to_a_campaign_goes_with_it(database: Database) -> None:
    await submit(database, [*phones(3), {"phone": "12"}])
    await query(database, "DELETE FROM campaign")

    assert await query(database, "SELECT id FROM batch") == []
    assert await query(database, "SELECT row FROM refusal") == []
