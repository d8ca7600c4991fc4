"""What tests of the stages look at, and what they bend by hand: rows, leases, the database's moments."""

import asyncio
import itertools
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeVar
from uuid import UUID

from campaigns.domain.states import MessageState
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Database
from tests.waiting import until

Row = dict[str, Any]
T = TypeVar("T")

_MOMENTS = ("send_at", "poll_at", "give_up_at", "leased_until")


async def query(database: Database, sql: str, *arguments: object) -> list[Row]:
    """Any statement, and its rows."""
    async with database.connection() as connection:
        return [dict(record) for record in await connection.fetch(sql, *arguments)]


async def bend(database: Database, sql: str, *arguments: object) -> list[Row]:
    """As `query`, past every trigger, also the one of the law: for what the product itself never does."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        return [dict(record) for record in await connection.fetch(sql, *arguments)]


_COUNTS = {"table": "pg_stat_user_tables WHERE relname", "index": "pg_stat_user_indexes WHERE indexrelname"}


async def read_so_far(database: Database, kind: Literal["table", "index"], name: str, what: str) -> int:
    """What PostgreSQL counted of a table or an index so far: `seq_scan`, or a sum of such columns."""
    async with database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    await database.close()  # every connection tells what it did at its end, the submission's as well

    async def all_have_ended() -> bool:
        (others,) = await query(
            database,
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        return bool(others["n"] == 0)

    await until(all_have_ended, "no other connection is left")
    sql = f"SELECT {what} AS n FROM {_COUNTS[kind]} = $1"  # noqa: S608  the tests' own words
    (found,) = await query(database, sql, name)
    return int(found["n"])


async def batch_rows(database: Database) -> list[Row]:
    """Every batch in order of id; `send_in` and its like are its moments in seconds from now."""
    moments = ", ".join(
        f"extract(epoch FROM {moment} - clock_timestamp())::float8 AS {moment.rpartition('_')[0]}_in"
        for moment in _MOMENTS
    )
    sql = f"SELECT *, {moments} FROM batch ORDER BY id"  # noqa: S608  our own column names
    return await query(database, sql)


async def message_rows(database: Database, batch_id: int | None = None) -> list[Row]:
    """The messages of a batch (None: of all) by position."""
    return await query(
        database,
        "SELECT * FROM message WHERE $1::bigint IS NULL OR batch_id = $1 ORDER BY batch_id, position",
        batch_id,
    )


async def states(database: Database, batch_id: int | None = None) -> list[MessageState]:
    """Their states."""
    return [MessageState(row["state"]) for row in await message_rows(database, batch_id)]


async def run_out(database: Database, batch_id: int | None = None) -> None:
    """The lease of a batch (None: every lease) ran out a second ago."""
    await query(
        database,
        "UPDATE batch SET leased_until = now() - interval '1 second'"
        " WHERE state = 'leased' AND ($1::bigint IS NULL OR id = $1)",
        batch_id,
    )


async def pass_deadlines(database: Database, campaign_id: UUID | None = None) -> None:
    """The deadline of every batch (of a campaign) was a second ago."""
    await query(
        database,
        "UPDATE batch SET give_up_at = now() - interval '1 second'"
        " WHERE $1::uuid IS NULL OR campaign_id = $1",
        campaign_id,
    )


async def make_due(database: Database) -> None:
    """Whatever is to be sent or polled later is due now."""
    await query(
        database,
        "UPDATE batch SET send_at = least(send_at, now()),"
        " poll_at = CASE WHEN poll_at > now() THEN now() ELSE poll_at END",
    )


_COUNTED = ", ".join(f"count(*) FILTER (WHERE m.state = '{state}')" for state in MessageState)
_WRONG_TALLIES = (  # of our own column names and states
    f"SELECT b.id FROM batch b JOIN message m ON m.batch_id = b.id GROUP BY b.id"  # noqa: S608
    f" HAVING ROW({', '.join(f'b.{column}' for column in TALLY_COLUMNS)}) IS DISTINCT FROM ROW({_COUNTED})"
)
_SAID = ", ".join(f"(c.totals->>'{column}')::int" for column in TALLY_COLUMNS)
_SUMMED = ", ".join(f"sum(b.{column})::int" for column in TALLY_COLUMNS)
_WRONG_TOTALS = (
    f"SELECT c.id FROM campaign c JOIN batch b ON b.campaign_id = c.id WHERE c.totals IS NOT NULL"  # noqa: S608
    f" GROUP BY c.id HAVING ROW({_SAID}, (c.totals->>'segment_count')::int, (c.totals->>'cost')::numeric)"
    f" IS DISTINCT FROM ROW({_SUMMED}, sum(b.segment_count)::int, sum(b.cost))"
)


async def wrong_tallies(database: Database) -> list[Any]:
    """The batches whose tally a recount of their messages does not confirm, and the campaigns whose kept
    totals the sum over their batches does not: none, at any moment.
    """
    return [row["id"] for sql in (_WRONG_TALLIES, _WRONG_TOTALS) for row in await query(database, sql)]


@types.coroutine
def cut_at(nth: int, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run `work`, and cancel the task it runs in at its `nth` wait (from 1), whatever it waits for."""
    task, error = asyncio.current_task(), None
    assert task is not None
    while True:
        try:
            waited_for = work.send(None) if error is None else work.throw(error)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]  # a coroutine's result
        nth -= 1
        if nth == 0:
            task.cancel()
        try:
            error = None
            yield waited_for
        except BaseException as thrown:
            error = thrown


def checked_out(database: Database) -> int:
    """How many places of its pool are taken: by who uses a connection, opens one or never gave one back."""
    pool: Any = database._pool  # its queue of free places is not in the stubs
    taken: int = pool.get_max_size() - pool._queue.qsize() if pool else 0
    return taken


async def cut_everywhere(
    make: Callable[[], Awaitable[Coroutine[Any, Any, object]]],
    after: Callable[[bool], Awaitable[None]],
) -> int:
    """Cut at its first wait, then at its second ... until it ends uncut. Gives how many cuts there were.

    Takes `make`, which prepares a run and gives it, and `after`, which looks at what is left of it.
    """
    for nth in itertools.count(1):
        task = asyncio.ensure_future(cut_at(nth, await make()))
        await asyncio.wait([task])
        await after(task.cancelled())
        if not task.cancelled():
            await task
            return nth - 1
    raise AssertionError("unreachable")


async def put_day(
    database: Database,
    account: str,
    day: date,
    segment_count: int,
    *,
    state: MessageState = MessageState.DELIVERED,
    unsure: int = 0,
    unpriced: int = 0,
    cost: Decimal | None = None,
    currency: str = "EUR",
) -> None:
    """What a campaign that was erased since had handed over on a day, at four cents a segment."""
    await query(
        database,
        "INSERT INTO account_day VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $5, $5, $6, $7, $8)",
        *(account, day, currency, state, segment_count, unsure, unpriced),
        segment_count * Decimal("0.04") if cost is None else cost,
    )
