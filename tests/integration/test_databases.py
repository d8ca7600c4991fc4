"""A database that is given to the next test is as one that was made for it."""

import pytest

from campaigns.store.session import Database
from tests.conftest import open_database
from tests.databases import Databases, with_database
from tests.integration.rows import query
from tests.river import phones, submit
from worker.stack.embedded.servers import ServerUrls


async def change(servers: ServerUrls, databases: Databases, *statements: str) -> tuple[str, str]:
    """Submits a campaign, does more, gives the database back and takes one. Gives the names of both."""
    before = await databases.take()
    database = open_database(with_database(servers.database_url, before))
    await submit(database, phones(2))
    for statement in statements:
        await query(database, statement)
    await database.close()
    await databases.give_back(before)
    return before, await databases.take()


async def found(database: Database) -> dict[str, int]:
    """Rows of two tables, and what the planner knows of any."""
    (row,) = await query(
        database,
        "SELECT (SELECT count(*) FROM message) AS messages, (SELECT count(*) FROM audit) AS audits,"
        " (SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename <> 'alembic_version')"
        " AS statistics,"
        " (SELECT count(*) FROM pg_class WHERE relname IN ('batch', 'message', 'suppression')"
        " AND reltuples >= 0) AS counted",
    )
    return row


async def test_rows_are_taken_out(servers: ServerUrls, databases: Databases) -> None:
    audit = (
        "INSERT INTO audit (actor_kind, actor, action, subject, origin)"
        " VALUES ('operator', 'a', 'b', 'c', 'd')"
    )
    suppressed = "INSERT INTO suppression (phone, reason) VALUES ('+37060000001', 'asked us to')"
    before, after = await change(servers, databases, audit, suppressed, "ANALYZE", "DELETE FROM suppression")
    assert after == before
    database = open_database(with_database(servers.database_url, after))
    assert {*(await found(database)).values()} == {0}
    await submit(database, phones(1))
    (row,) = await query(database, "SELECT min(id) AS id FROM batch")
    assert row["id"] == 1, "numbers begin anew"
    await database.close()
    await databases.give_back(after)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "ALTER TABLE message ADD COLUMN more int",
        "ALTER TABLE message ALTER COLUMN reason SET DEFAULT 'none'",
        "ALTER TABLE message DISABLE TRIGGER law_of_moves",
        "ALTER TABLE message SET (fillfactor = 70)",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "DROP INDEX campaign_newest",
        "ALTER TYPE message_state ADD VALUE 'more'",
        "UPDATE alembic_version SET version_num = 'more'",
        "CREATE SCHEMA more",
    ],
)
async def test_one_in_which_more_was_changed_is_not_given_on(
    servers: ServerUrls, databases: Databases, statement: str
) -> None:
    before, after = await change(servers, databases, statement)
    assert after != before
    await databases.give_back(after)


async def test_a_breach_of_the_law_that_somebody_caught_fails(
    servers: ServerUrls, databases: Databases
) -> None:
    caught = (
        "DO $$ BEGIN UPDATE message SET state = 'sent', attempt = 1;"
        " EXCEPTION WHEN triggered_action_exception THEN END $$"
    )
    with pytest.raises(AssertionError, match="does not allow"):
        await change(servers, databases, caught)
