"""Handing over while the database goes away: no answer is lost, nothing is sent twice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from campaigns import rescue, sending
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.policy import Account
from campaigns.domain.provider import AccountTrouble, OutboundMessage
from campaigns.domain.states import BatchState, MessageState
from campaigns.store import session
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk, open_database
from tests.integration.one_batch import OneText, deal_one, submit_texts
from tests.integration.proxy import Link, link
from tests.integration.rows import batch_rows, message_rows, run_out, states, wrong_tallies
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED


@pytest.fixture
async def linked(database_url: str) -> AsyncIterator[tuple[Database, Link]]:
    """A database behind a link that can be cut."""
    async with link(database_url) as between:
        opened = open_database(between.url)
        yield opened, between
        await opened.close()


async def test_an_answer_is_written_when_the_database_comes_back(
    database: Database, linked: tuple[Database, Link], make_desk: MakeDesk
) -> None:
    shaky, between = linked
    desk = make_desk(OneText("main", before_answer=_async(between.cut)))
    await submit_texts(database, "a", "b")
    dealt = await deal_one(database, desk)

    async def mend_in_the_end() -> None:
        for times in (2, 4):  # once for each request
            await until(lambda times=times: between.refused_count >= times)  # type: ignore[misc]
            between.mend()

    mending = asyncio.create_task(mend_in_the_end())
    verdict = await sending.send_batch(shaky, desk, dealt)
    await mending

    assert (verdict.state, verdict.handed_over_count) == (BatchState.TRACKING, 2)
    assert await states(database) == [A, A]
    assert [row["attempt"] for row in await message_rows(database)] == [1, 1]


def _async(act: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        act()

    return do


async def test_backends_killed_again_and_again_cost_no_answer(
    database: Database, database_url: str, make_desk: MakeDesk
) -> None:
    """Whatever the server ends of ours for half a second, busy or idle: each answer is written down once."""
    outside = await asyncpg.connect(database_url)
    killed, began = 0, asyncio.Event()

    async def kill() -> None:
        nonlocal killed
        ends_at = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < ends_at:
            killed += await outside.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            began.set()

    async def wait_for_the_first() -> None:
        await began.wait()

    await submit_texts(database, "a")
    stub = Stub("main", before_answer=wait_for_the_first)
    desk = make_desk(stub)
    dealt = await deal_one(database, desk)
    try:
        async with asyncio.TaskGroup() as both:
            task = both.create_task(sending.send_batch(database, desk, dealt))
            await until(lambda: len(stub.ledger) == 1)
            both.create_task(kill())
    finally:
        await outside.close()

    assert killed > 0
    assert task.result().handed_over_count == 1
    assert await states(database) == [A]


@pytest.mark.parametrize("end", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_writes_ended_by_the_server_are_written_again(
    database: Database, database_url: str, make_desk: MakeDesk, end: str
) -> None:
    """An administrator, a time-out, a conflict: the statement is gone, the answer is not."""
    locker, outside = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    ended: set[tuple[int, datetime]] = set()

    locked = asyncio.Event()

    async def lock() -> None:
        await locker.execute("BEGIN; SELECT FROM batch FOR UPDATE")
        locked.set()

    async def end_three() -> None:
        await locked.wait()
        async with asyncio.timeout(20):
            while len(ended) < 3:
                await asyncio.sleep(0.01)
                found = await outside.fetch(
                    f"SELECT pid, xact_start, {end}(pid) FROM pg_stat_activity"  # noqa: S608  our own words
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                ended.update((record["pid"], record["xact_start"]) for record in found)
        await locker.execute("ROLLBACK")

    await submit_texts(database, "a")
    stub = Stub("main", before_answer=lock)
    desk = make_desk(stub)
    dealt = await deal_one(database, desk)
    try:
        async with asyncio.TaskGroup() as both:
            task = both.create_task(sending.send_batch(database, desk, dealt))
            both.create_task(end_three())
    finally:
        await outside.close()
        await locker.close()

    assert task.result().state is BatchState.TRACKING
    assert await states(database) == [A]


async def test_a_commit_whose_answer_is_lost_is_not_counted_twice(
    database: Database, linked: tuple[Database, Link], make_desk: MakeDesk
) -> None:
    shaky, between = linked
    trouble = AccountTrouble("32", "no money")
    numbers = await submit_texts(database, "a", "b")
    stub = OneText(
        "main",
        outcomes={numbers[1]: [trouble]},
        before_answer=_async(lambda: between.lose_answer_to(b"worker-1")),
    )
    desk = make_desk(stub)

    await sending.send_batch(shaky, desk, await deal_one(database, desk))

    assert between.lost_count == 2
    assert await states(database) == [A, Q]
    assert [row["attempt"] for row in await message_rows(database)] == [1, 0]
    assert [row["state"] for row in await batch_rows(database)] == [BatchState.READY]
    assert await wrong_tallies(database) == []


async def test_an_intent_whose_commit_is_not_confirmed_lets_nothing_leave(
    database: Database, linked: tuple[Database, Link], make_desk: MakeDesk
) -> None:
    shaky, between = linked
    await submit(database, phones(1))
    stub = Stub("main")

    async def wait_for_pace() -> None:
        # The intent is one statement, committed when it answers; the worker's name stands in its values.
        between.lose_answer_to(b"worker-1")

    desk = replace(make_desk(stub), accounts={"main": Account(stub, wait_for_pace, 10)})
    verdict = await sending.send_batch(shaky, desk, await deal_one(database, desk))

    assert (verdict.state, verdict.handed_over_count, stub.ledger) == (BatchState.READY, 0, [])
    assert between.lost_count == 1
    # It was committed, and taken back: that nothing left is certain.
    assert await states(database) == [Q]
    assert [row["attempt"] for row in await message_rows(database)] == [0]
    assert [row["crash_count"] for row in await batch_rows(database)] == [0]
    assert await wrong_tallies(database) == []


async def test_what_left_is_never_taken_back_for_unsent(
    database: Database,
    linked: tuple[Database, Link],
    make_desk: MakeDesk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where an adapter puts a message into two requests at once, and the second intent fails."""
    shaky, between = linked
    await submit(database, phones(1))

    class Twice(Stub):
        def requests(
            self, messages: Sequence[OutboundMessage], sender_id: str
        ) -> list[list[OutboundMessage]]:
            return [list(messages), list(messages)]

    stub = Twice("main", concurrency=2)
    turns = 0

    async def wait_for_pace() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            between.lose_answer_to(b"worker-1")

    written: list[OutcomeRow] = []
    release = batches.release

    async def watched(*arguments: Any, **named: Any) -> Any:
        written.extend(named["rows"])
        return await release(*arguments, **named)

    monkeypatch.setattr(batches, "release", watched)
    desk = replace(make_desk(stub), accounts={"main": Account(stub, wait_for_pace, 10)})
    verdict = await sending.send_batch(shaky, desk, await deal_one(database, desk))

    assert (verdict.handed_over_count, len(stub.ledger), between.lost_count) == (1, 1, 1)
    assert [(each.positions, each.state) for each in written] == [
        ([0], A)
    ]  # two words on one message: either could win
    (row,) = await message_rows(database)
    assert (row["state"], row["attempt"]) == ("accepted", 1)


async def test_what_is_said_to_be_committed_is(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose BEGIN was given up by its time limit may be inside that transaction all the same.
    Used again, it would take what follows for a part of it, which nobody ever commits: an intent that is
    believed and not there is a message sent twice.
    """
    monkeypatch.setattr(session, "_COMMAND_SECONDS", 1)
    database = open_database(database_url, pool_size=1)
    await submit(database, phones(1))
    async with database.connection() as connection:
        server = connection.get_server_pid()
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction():
                raise AssertionError("a server that stands still has begun nothing")
    finally:
        os.kill(server, signal.SIGCONT)

    async def comes_back() -> bool:
        with suppress(DatabaseUnavailable):
            async with database.transaction() as connection:
                await connection.execute("UPDATE batch SET retry_count = 7")
            return True
        return False

    async with asyncio.timeout(20):
        while not await comes_back():
            continue
    await database.close()
    another = open_database(database_url)
    assert [row["retry_count"] for row in await batch_rows(another)] == [7]
    await another.close()


async def test_a_database_that_stays_away_leaves_doubt(
    database: Database,
    linked: tuple[Database, Link],
    make_desk: MakeDesk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "_WRITE_DOWN_SECONDS", 0.1)
    shaky, between = linked
    await submit(database, phones(2))
    stub = Stub("main", timeout_seconds=0.5, before_answer=_async(between.cut))
    desk = make_desk(stub, policy=replace(POLICY, lease_seconds=2))

    with pytest.raises(DatabaseUnavailable):
        await sending.send_batch(shaky, desk, await deal_one(database, desk))

    assert between.refused_count >= 2
    assert await states(database) == [S, S]
    await run_out(database)
    assert (await rescue.rescue(database)).in_doubt_count == 2
