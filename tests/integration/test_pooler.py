"""A pooler before PostgreSQL: refused by name where it takes sessions from us, used where it keeps them."""

import asyncio
from typing import Any

import pytest

from campaigns import submission
from campaigns.domain.blocks import in_blocks
from campaigns.domain.errors import DatabaseUnavailable, DatabaseUnfit, SubmissionError
from campaigns.domain.limits import AccountTerms
from campaigns.store import schema
from campaigns.store.session import Database
from tests.conftest import POLICY, open_database
from tests.integration.pooling import needs_pgbouncer, pgbouncer
from tests.integration.rows import query


async def submit(database: Database, text: str = "Hello", count: int = 250, start: int = 0) -> Any:
    wanted = submission.Submission(
        account=AccountTerms("main"), text=text, sender_id="Shop", name="n", region=None
    )
    rows = [(n, {"phone": f"+3706{start + n:07}"}) for n in range(1, count + 1)]
    return await submission.submit(database, POLICY, wanted, in_blocks(rows))


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_takes_sessions_is_refused_by_name(database_url: str, mode: str) -> None:
    async with pgbouncer(database_url, mode) as url:
        for ask in (submit, schema.migrate, schema.check):
            database = open_database(url)
            with pytest.raises(DatabaseUnfit, match=r"pool_mode = session"):
                await ask(database)
            await database.close()

    direct = open_database(database_url)
    assert await query(direct, "SELECT count(*) AS count FROM campaign") == [{"count": 0}]
    await direct.close()


@needs_pgbouncer
async def test_a_busy_pooler_that_takes_sessions_is_refused_too(database_url: str) -> None:
    """Where every transaction gets the next best session, two connections seldom meet in one."""
    async with pgbouncer(database_url, "transaction", server_round_robin=1, min_pool_size=8) as url:
        databases = [open_database(url) for _ in range(8)]
        ends = await asyncio.gather(*map(submit, databases), return_exceptions=True)
        for database in databases:
            await database.close()

    assert {type(end) for end in ends} == {DatabaseUnfit}


@needs_pgbouncer
async def test_a_pooler_in_session_mode_keeps_our_settings(database_url: str) -> None:
    """At its defaults, which refuse settings in the request for a connection."""
    async with pgbouncer(database_url, "session") as url:
        database = open_database(url)
        assert (await submit(database)).recipient_count == 250
        async with database.connection() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "30s"
            assert await connection.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
        await database.close()


async def test_a_submission_is_one_transaction_of_one_session(database: Database) -> None:
    """Nothing of it is left in the session, nor stands anywhere before it commits."""
    await submit(database)

    async with database.own_connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'staged'") == 0


async def test_what_was_made_is_what_was_taken_in_or_nothing(database: Database) -> None:
    await query(
        database,
        "CREATE FUNCTION eat() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.position = 7 THEN RETURN NULL; END IF; RETURN NEW; END $$",
    )
    await query(database, "CREATE TRIGGER eat BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION eat()")

    with pytest.raises(SubmissionError, match="250 recipients were taken in, and the database made 247"):
        await submit(database)

    assert await query(database, "SELECT count(*) AS count FROM campaign") == [{"count": 0}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("/nowhere", 'database "nowhere" does not exist .*; create it'),
        ("user=nobody_here", 'role "nobody_here" does not exist'),
        ("port", r"No such file or directory .*; mend the path"),
    ],
)
async def test_why_it_cannot_be_used_is_its_own_sentence(database_url: str, change: str, said: str) -> None:
    base, _, options = database_url.partition("?")
    url = {
        "/nowhere": f"{base.rpartition('/')[0]}/nowhere?{options}",
        "user=nobody_here": f"{base.replace('postgres@', 'nobody_here@')}?{options}",
        "port": database_url.replace("port=", "port=1"),
    }[change]
    database = open_database(url)
    with pytest.raises(DatabaseUnavailable, match=said):
        await schema.check(database)
    await database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:geheim-123@127.0.0.1:1/d", r"connection refused \(127.0.0.1:1/d\); start it"),
        (
            "postgresql://u:geheim-123@no-such-host.invalid/d",
            r"the host is not known: .*no-such-host.invalid",
        ),
    ],
)
async def test_who_cannot_be_reached_is_named_without_a_secret(url: str, said: str) -> None:
    database = open_database(url)
    with pytest.raises(DatabaseUnavailable, match=said) as raised:
        await schema.check(database)
    assert "geheim" not in str(raised.value)
    await database.close()
