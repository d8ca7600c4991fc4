"""The trigger that holds every test to the law of states says what the law says, no more and no less."""

from collections.abc import Mapping
from itertools import product

import asyncpg
import pytest

from campaigns.domain.states import (
    BATCH_INITIAL,
    BATCH_MOVES,
    CAMPAIGN_INITIAL,
    CAMPAIGN_MOVES,
    INITIAL,
    BatchState,
    CampaignState,
    MessageState,
    may_change,
)
from campaigns.store.law import State
from campaigns.store.session import Connection, Database
from tests import law_trigger
from tests.integration.rows import query
from tests.river import phones, submit

KINDS: Mapping[str, type[MessageState | BatchState | CampaignState]] = {
    "message": MessageState,
    "batch": BatchState,
    "campaign": CampaignState,
}
INITIALS: Mapping[str, frozenset[State]] = {
    "message": frozenset(INITIAL),
    "batch": frozenset(BATCH_INITIAL),
    "campaign": frozenset(CAMPAIGN_INITIAL),
}


def is_lawful(before: State, after: State, attempt: int) -> bool:
    match before:
        case MessageState():
            return may_change(before, MessageState(after), attempt)
        case BatchState():
            return after in BATCH_MOVES.get(before, ())
        case CampaignState():
            return after in CAMPAIGN_MOVES.get(before, ())


async def allows(connection: Connection, statement: str, *arguments: object) -> bool:
    """Whether the trigger lets a statement through. What it did is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement, *arguments)
    except asyncpg.TriggeredActionError:
        return False
    finally:
        await transaction.rollback()
    return True


@pytest.fixture
async def unchecked(database: Database) -> Database:
    """One campaign of one batch of one message, and no CHECK that would refuse a state first."""
    await submit(database, phones(1))
    checks = (
        "SELECT conrelid::regclass::text AS of, conname::text AS name FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = 'public'::regnamespace"
    )
    for check in await query(database, checks):
        await query(database, f"ALTER TABLE {check['of']} DROP CONSTRAINT {check['name']}")
    return database


@pytest.mark.parametrize("table", KINDS)
async def test_it_allows_what_the_law_allows(unchecked: Database, database_url: str, table: str) -> None:
    change = f"UPDATE {table} SET state = $1"  # noqa: S608  the table from above
    refused_count = 0
    attempts = (0, 1) if table == "message" else (0,)
    async with unchecked.connection() as connection:
        for before, attempt in product(KINDS[table], attempts):
            await connection.execute("SET session_replication_role = replica")  # no trigger
            await connection.execute(change, before)
            if table == "message":
                await connection.execute("UPDATE message SET attempt = $1", attempt)
            await connection.execute("SET session_replication_role = origin")
            for after in KINDS[table]:
                is_allowed = await allows(connection, change, after)
                assert is_allowed == (before == after or is_lawful(before, after, attempt)), (
                    before,
                    after,
                    attempt,
                )
                refused_count += not is_allowed

    assert await law_trigger.refused_count(database_url) == refused_count > 0


@pytest.mark.parametrize("table", KINDS)
async def test_it_knows_how_a_row_begins(unchecked: Database, database_url: str, table: str) -> None:
    more = {
        "message": "'position', 1",
        "batch": "'id', 1000, 'number', 1000",
        "campaign": "'id', gen_random_uuid()",
    }[table]
    again = (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(t,"  # noqa: S608  tables and keys from above
        f" jsonb_build_object('state', $1::text, {more}))).* FROM {table} t"
    )
    async with unchecked.connection() as connection:
        allowed = {state for state in KINDS[table] if await allows(connection, again, state)}

    assert allowed == INITIALS[table]
    assert await law_trigger.refused_count(database_url) == len(KINDS[table]) - len(allowed)
