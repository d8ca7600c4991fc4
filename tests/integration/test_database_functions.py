"""The database's functions are what the files say, and stay callable by the release before."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import SchemaMismatch
from campaigns.store import database_functions, schema
from campaigns.store.database_functions import as_group, essence, texts
from campaigns.store.session import Database
from tests.conftest import open_database
from tests.integration.rows import query


@pytest.fixture
async def migrated(empty_database_url: str) -> AsyncIterator[Database]:
    """A database that was migrated, and nothing else."""
    opened = open_database(empty_database_url)
    await schema.migrate(opened)
    yield opened
    await opened.close()


async def test_what_is_installed_is_what_the_files_say_and_nothing_else(migrated: Database) -> None:
    async with migrated.connection() as connection:
        installed = await database_functions.installed(connection)

    assert {name: essence(definition) for name, definition in installed} == {
        name: essence(text) for name, text in texts().items()
    }
    assert len(installed) == len(texts())  # no second one of a name


_READS_A_TABLE = re.compile(
    r"\b(?:UPDATE|FROM|JOIN) (?:batch|message) (?P<alias>[a-z])\b.*?(?:;|\Z)", re.DOTALL
)


def test_what_works_on_a_group_finds_its_rows_by_the_ids_of_the_group() -> None:
    """Else PostgreSQL reads the whole table at times, for it takes a group for ten thousand rows."""
    looked_at = 0
    for name, text in texts().items():
        if "v_ids bigint[]" in text:
            for found in _READS_A_TABLE.finditer(re.sub("--.*", "", text.partition("BEGIN\n")[2])):
                looked_at += 1
                column = "id" if " batch " in found[0][:20] else "batch_id"
                assert f"{found['alias']}.{column} = ANY (v_ids)" in found[0], (name, found[0])
    assert looked_at >= 6


async def test_migrate_installs_them_again_where_they_differ(migrated: Database) -> None:
    """Also at the newest revision: a release may change a function and no table."""
    await query(migrated, "DROP FUNCTION merge_polled(jsonb)")
    await query(migrated, texts()["hold_leases"].replace("RETURN p_group;", "RETURN '[]';"))
    await query(migrated, "ALTER FUNCTION count_messages(bigint[]) VOLATILE")

    assert set(await schema.differing_functions(migrated)) == {
        "count_messages",
        "hold_leases",
        "merge_polled",
    }
    assert await schema.migrate(migrated) == schema.head()
    assert await schema.differing_functions(migrated) == []


async def test_another_text_is_no_reason_to_refuse_and_a_missing_function_is(migrated: Database) -> None:
    """While a release is rolled out the workers of the one before start anew, with the newer functions."""
    await query(migrated, texts()["hold_leases"].replace("RETURN p_group;", "RETURN '[]';"))
    assert await schema.check(migrated) == schema.head()

    await query(migrated, "ALTER FUNCTION merge_polled RENAME TO gone")
    with pytest.raises(SchemaMismatch) as caught:
        await schema.check(migrated)
    assert str(caught.value) == (
        "the database lacks functions that this code calls (merge_polled); run: campaigns migrate"
    )


@pytest.mark.parametrize("revision", ["0001", "0002", "0015"])
async def test_a_database_from_before_the_first_release_is_said_to_be_one(
    empty_database_url: str, revision: str
) -> None:
    """Its revisions may have the numbers of later ones: they tell nothing."""
    database = open_database(empty_database_url)
    await query(database, "CREATE TABLE alembic_version (version_num text)")
    await query(database, "INSERT INTO alembic_version VALUES ($1)", revision)
    await query(database, "CREATE TABLE batch (id bigint, campaign_id uuid)")
    for work in (schema.check, schema.migrate):
        with pytest.raises(SchemaMismatch, match=r"before the first release.* make the database anew"):
            await work(database)
    await database.close()


def test_what_the_code_calls_takes_one_json_parameter() -> None:
    """So its signature never changes: a new field is a new key."""
    paths = [path for path in Path("campaigns/store").rglob("*.py") if "migrations" not in path.parts]
    code = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    called = set(re.findall(rf"\b({'|'.join(texts())})\(", code))

    assert {"write_outcomes", "release_batches", "merge_polled", "merge_evidence"} <= called
    for name in called:
        assert re.search(rf"FUNCTION {name}\(p_\w+ jsonb\) ", essence(texts()[name])[0])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
)
@example(values=["", "NULL", "null", '"', "\\", '\\"', "{a,b}", " a ", "a\nb", '","', "\U0001f600", "š"])
def test_texts_come_as_they_are(database_url: str, values: list[str | None]) -> None:
    async def there_and_back() -> object:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetchval(
                "SELECT array_agg(g.trouble ORDER BY g.id)"
                " FROM jsonb_to_recordset($1) AS g(id int, trouble text)",
                as_group({"id": at, "trouble": value} for at, value in enumerate(values)),
            )
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        assert (runner.run(there_and_back()) or []) == values


def test_a_group_keeps_decimals_and_moments_exact() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    (found,) = json.loads(as_group([{"cost": Decimal("0.0450"), "at": moment}]))
    assert found == {"cost": "0.0450", "at": "2026-01-02 03:04:05.678901+00:00"}
