"""What a submission stored, and sessions that wait, are killed or hold a lock."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from campaigns import cleaning, submission
from campaigns.domain import blocks as blocks_module
from campaigns.domain.blocks import Block
from campaigns.domain.limits import AccountTerms
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from tests.conftest import POLICY
from tests.integration.rows import query
from tests.waiting import until


async def stored(database: Database) -> dict[str, int]:
    """How many rows each table holds."""
    names = await query(
        database,
        "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname <> 'alembic_version' ORDER BY 1",
    )
    counts = {}
    for row in names:
        (counted,) = await query(database, f"SELECT count(*) AS n FROM {row['name']}")  # noqa: S608  ours
        counts[row["name"]] = counted["n"]
    assert {"campaign", "batch", "message", "refusal"} <= counts.keys()
    return counts


async def assert_nothing_is_stored(database: Database) -> None:
    """Every table is empty, and no session keeps what was staged."""
    assert not any((await stored(database)).values())

    async def is_gone() -> bool:
        return not await query(database, "SELECT relname FROM pg_class WHERE relpersistence = 't'")

    await until(is_gone, "the temporary tables go with their connection")


async def messages(database: Database, columns: str) -> list[tuple[Any, ...]]:
    """Columns of every message, batch by batch, in order."""
    rows = await query(
        database,
        f"SELECT {columns} FROM batch b JOIN message m ON m.batch_id = b.id"  # noqa: S608  the test's own
        " ORDER BY b.campaign_id, b.number, m.position",
    )
    return [tuple(row.values()) for row in rows]


async def take_in(database: Database, blocks: Iterable[Block]) -> TakenIn:
    wanted = submission.Submission(AccountTerms("main"), "Hello", "Demo", "test", submission_key="key")
    return await submission.submit(database, POLICY, wanted, blocks)


def cut_into_portions(monkeypatch: pytest.MonkeyPatch, row_count: int) -> None:
    """Have rows cleaned and stored in portions of so many, where they come from `in_blocks`."""
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", row_count)
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", min(row_count, blocks_module.BLOCK_ROWS))


LATE = 10_500  # in the second portion: the first is being staged already


async def waiting(database: Database, *, count: int, for_seconds: float = 0) -> list[int]:
    """The sessions that wait for a lock, once so many do for so long; the oldest transaction first."""

    async def look() -> list[int]:
        rows = await query(
            database,
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
            " AND clock_timestamp() - query_start > make_interval(secs => $1) ORDER BY xact_start",
            for_seconds,
        )
        return [row["pid"] for row in rows] if len(rows) == count else []

    found: list[int] = await until(look, f"{count} sessions wait for a lock")
    return found


async def kill(database: Database, pid: int) -> None:
    """End a session from outside, as a restart of PostgreSQL does."""
    assert await query(database, "SELECT pg_terminate_backend($1) AS done", pid) == [{"done": True}]


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Holds a table, so that who writes to it stands still; gives what lets go of it."""
    async with database.own_connection() as connection:
        await connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield lambda: connection.execute("COMMIT")
