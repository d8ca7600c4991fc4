"""What the database does not have yet (a function, a column, a table) is waited for, as the database is."""

import asyncio

import pytest

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.store import connection_errors as away
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import query, states
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until


async def test_answers_in_hand_wait_for_a_function_that_is_missing(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider took five while the function that writes it down was not there: five are accepted."""
    said: list[str] = []
    why = away.why

    def noted(error: BaseException, url: str) -> str:
        said.append(why(error, url))
        return said[-1]

    monkeypatch.setattr(away, "why", noted)
    (function,) = await query(
        database, "SELECT oid::regprocedure::text AS it FROM pg_proc WHERE proname LIKE 'release_batches%'"
    )
    name, _, arguments = function["it"].partition("(")

    async def drop() -> None:
        await query(database, f"ALTER FUNCTION {function['it']} RENAME TO not_there")

    await submit(database, phones(5))
    sending = asyncio.ensure_future(send_one(database, make_desk(Stub("main", before_answer=drop))))
    await until(lambda: len(said) > 2 or sending.done(), "it is tried again")
    assert not sending.done()
    await query(database, f"ALTER FUNCTION not_there({arguments} RENAME TO {name}")
    await sending

    assert await states(database) == ["accepted"] * 5
    assert f"function {name}(" in said[0]
    assert said[0].endswith(
        "this code is newer than the schema: run campaigns migrate; if that was done, report it"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT not_there FROM batch",
        "SELECT 1 FROM not_there",
        "SELECT not_there(1)",
        "SELECT '1'::not_there",
    ],
)
async def test_a_column_a_table_and_a_type_likewise(database: Database, sql: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"not_there.* does not exist .*run campaigns migrate"):
        await query(database, sql)
