"""The pool: who takes a connection gets a sound one, and gives its place back however it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import asyncpg
import pytest

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.store import session
from campaigns.store.session import Connection, Database
from tests.conftest import open_database
from tests.integration.proxy import link
from tests.integration.rows import checked_out, cut_everywhere, query
from tests.waiting import until

MAKE = "CREATE TABLE IF NOT EXISTS mark (word text)"


@pytest.fixture
async def single(empty_database_url: str) -> AsyncIterator[Database]:
    """A pool with one place: whatever is wrong with its connection, the next user would meet."""
    opened = open_database(empty_database_url, pool_size=1)
    yield opened
    await opened.close()


async def backend(database: Database) -> int:
    async with database.connection() as connection:
        return connection.get_server_pid()


async def sessions(database: Database) -> list[int]:
    """The backends of this database besides the one that is asked."""
    async with database.own_connection() as outside:
        found = await outside.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    return [record["pid"] for record in found]


def driver_of(connection: Connection) -> Connection:
    """What the pool lends out, which stays when it is given back."""
    lent: Any = connection
    below: Connection = lent._con
    return below


# --- taken and given back ----------------------------------------------------------------------------------


async def test_nothing_is_opened_before_the_first_use_nor_kept_after_the_last(single: Database) -> None:
    assert await sessions(single) == []

    used = await backend(single)

    assert await sessions(single) == [used]
    await single.close()
    await single.close()
    assert await sessions(single) == []


async def test_a_pool_never_used_may_be_closed(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    await database.close()
    await database.close()


async def test_the_one_given_back_last_is_taken_first(database: Database) -> None:
    async def both() -> set[int]:
        async with database.connection() as one, database.connection() as other:
            return {one.get_server_pid(), other.get_server_pid()}

    warm = await both()

    assert len(warm) == 2
    assert await both() == warm
    assert len({await backend(database) for _ in range(10)}) == 1


async def test_giving_back_asks_the_server_nothing(single: Database) -> None:
    async with single.connection() as connection:
        used = connection.get_server_pid()
        await connection.execute("SELECT 'the last word'")

    async with single.own_connection() as outside:
        said = await outside.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", used)
    assert said == "SELECT 'the last word'"


async def test_sessions_are_bounded(single: Database) -> None:
    async with single.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session')"
        )
        set_ = {row["name"]: row["setting"] for row in rows}
        is_new = connection.get_server_version().major >= 17

    assert set_["application_name"] == "campaigns"
    assert set_["statement_timeout"] == "30000"
    assert set_["idle_in_transaction_session_timeout"] == "30000"
    assert set_.get("transaction_timeout") == ("30000" if is_new else None)


async def test_a_place_is_waited_for_and_not_for_ever(
    single: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with single.connection() as connection:
        waiting = asyncio.ensure_future(backend(single))
        given_up = asyncio.ensure_future(backend(single))
        await asyncio.sleep(0)
        given_up.cancel()
        with monkeypatch.context() as patience:
            patience.setattr(session, "_ACQUIRE_SECONDS", 0.01)
            async with asyncio.timeout(10):
                with pytest.raises(DatabaseUnavailable, match="no answer in time"):
                    await backend(single)
        assert not waiting.done()
        used = connection.get_server_pid()

    assert await waiting == used
    assert given_up.cancelled()
    assert checked_out(single) == 0


async def test_closing_does_not_wait_for_ever_for_who_holds_one(
    single: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CLOSE_SECONDS", 0.01)

    async with single.connection() as connection:
        async with asyncio.timeout(10):
            await single.close()
        with pytest.raises(asyncpg.InterfaceError):
            await connection.execute("SELECT")

    assert await backend(single)  # asked again, it opens again


async def test_a_statement_with_a_wrong_number_of_parameters_is_a_bug_and_no_server_that_is_away(
    single: Database,
) -> None:
    async def mistaken() -> None:
        async with single.connection() as connection:
            await connection.execute("SELECT $1::int", 1, 2)

    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await session.retry_while_away(mistaken, until=asyncio.get_running_loop().time() + 60)
    async with single.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


# --- what is not used again --------------------------------------------------------------------------------


async def test_what_the_server_closed_in_the_pool_costs_nobody_anything(single: Database) -> None:
    async with single.connection() as connection:
        used = connection.get_server_pid()
        below = driver_of(connection)
    async with single.own_connection() as outside:
        await outside.execute("SELECT pg_terminate_backend($1)", used)
    await until(below.is_closed)

    assert await backend(single) != used


async def test_a_server_that_cannot_be_reached_takes_no_place(empty_database_url: str) -> None:
    async with link(empty_database_url) as between:
        database = open_database(between.url, pool_size=1)
        between.cut()
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                await backend(database)
            assert checked_out(database) == 0
        between.mend()
        assert await backend(database)
        await database.close()


async def test_a_hang_up_hides_no_error_of_ours(single: Database) -> None:
    async def lose(take: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
        async with take() as connection:
            below = driver_of(connection)
            async with single.own_connection() as outside:
                await outside.execute("SELECT pg_terminate_backend($1)", below.get_server_pid())
            await until(below.is_closed)
            raise LookupError

    with pytest.raises(LookupError):
        await lose(single.connection)
    assert checked_out(single) == 0
    with pytest.raises(DatabaseUnavailable):  # it could not be rolled back: the server did that
        await lose(single.transaction)
    assert checked_out(single) == 0


async def leave_open(connection: Connection) -> None:
    await connection.execute("BEGIN")


async def give_up(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(20)", timeout=0.01)


async def write_to_a_standby(connection: Connection) -> None:
    await connection.execute("SET default_transaction_read_only = on")
    await connection.execute(MAKE)


async def let_go(connection: Connection) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("spoil", [leave_open, give_up, write_to_a_standby, let_go])
async def test_a_spoilt_connection_is_thrown_away(single: Database, spoil: Any) -> None:
    with suppress(DatabaseUnavailable, asyncio.CancelledError):
        async with single.connection() as connection:
            used = connection.get_server_pid()
            await spoil(connection)

    assert checked_out(single) == 0
    assert await backend(single) != used


async def test_a_statement_refused_spoils_nothing(single: Database) -> None:
    used = await backend(single)

    for take in (single.connection, single.transaction):
        with pytest.raises(asyncpg.PostgresSyntaxError):
            async with take() as connection:
                await connection.execute("SELECT FROM WHERE")
        with pytest.raises(LookupError):
            async with take():
                raise LookupError

    assert await backend(single) == used


@pytest.mark.parametrize("is_warm", [True, False], ids=["taken from the pool", "opened"])
async def test_stopped_anywhere_it_is_all_or_nothing_and_the_place_is_free(
    empty_database_url: str, is_warm: bool
) -> None:
    found = set()
    databases: list[Database] = []

    async def write(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO mark VALUES ('a')")
            await connection.execute("INSERT INTO mark VALUES ('b')")

    async def make() -> Coroutine[Any, Any, object]:
        database = open_database(empty_database_url, pool_size=1)
        databases.append(database)
        if is_warm:
            await backend(database)
        async with database.own_connection() as outside:
            await outside.execute(f"{MAKE}; TRUNCATE mark")
        return write(database)

    async def after(was_cut: bool) -> None:
        database = databases[-1]
        assert checked_out(database) == 0
        rows = await query(database, "SELECT word FROM mark")
        found.add(len(rows))
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO mark VALUES ('c')")
        await database.close()
        async with database.own_connection() as outside:
            assert await outside.fetchval("SELECT count(*) FROM mark WHERE word = 'c'") == 1

    assert await cut_everywhere(make, after) >= (4 if is_warm else 7)
    assert found == {0, 2}
