"""Leases that ran out: what was not handed over is ready again, the rest is in doubt."""

import asyncio
import random
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from campaigns import batching, rescue, sending
from campaigns.domain.states import MessageState
from campaigns.rescue import Rescue
from campaigns.store import batching as dealing
from campaigns.store.receipts import polling
from campaigns.store.rescue import sweep
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import MakeDesk
from tests.integration.one_batch import OneText, deal_one, send_one, sent, submit_texts
from tests.integration.rows import (
    batch_rows,
    checked_out,
    cut_everywhere,
    make_due,
    message_rows,
    query,
    run_out,
    states,
    wrong_tallies,
)
from tests.integration.under_lease import begin, take_up
from tests.river import phones, submit
from tests.stub import Stub

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED
QUIET = Rescue(0, 0, 0, 0, 0)


def accepted(position: int) -> OutcomeRow:
    return OutcomeRow([position], A, [f"id-{position}"])


# --- leases that ran out ----------------------------------------------------------------------------


async def test_a_quiet_round_changes_nothing(database: Database) -> None:
    await submit(database, phones(2))
    before = await query(database, "SELECT * FROM batch")

    assert await rescue.rescue(database) == QUIET
    assert QUIET.is_quiet
    assert await query(database, "SELECT * FROM batch") == before


async def test_a_lost_task_is_dealt_again_and_a_late_one_does_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(2))
    lost = await deal_one(database, desk)
    await run_out(database)

    assert await rescue.rescue(database) == Rescue(1, 0, 0, 0, 0)
    (batch,) = await batch_rows(database)
    assert (batch["state"], batch["leased_by"], batch["trouble"]) == ("ready", None, "lease ran out")
    late = await sending.send_batch(database, desk, lost)
    again = await deal_one(database, desk)
    later = await sending.send_batch(database, desk, lost)

    assert again.lease == lost.lease + 1
    assert (late.state, later.state, stub.ledger) == (None, None, [])
    assert (await sending.send_batch(database, desk, again)).handed_over_count == 2


async def test_what_was_taken_up_and_not_begun_is_ready_again(database: Database) -> None:
    await submit(database, phones(2))
    await take_up(database)
    await run_out(database)

    assert await rescue.rescue(database) == Rescue(1, 0, 0, 0, 0)
    assert await states(database) == [Q, Q]
    assert [row["attempt"] for row in await message_rows(database)] == [0, 0]


async def test_what_was_begun_is_in_doubt_exactly_that(database: Database) -> None:
    await submit(database, phones(5))
    work = await take_up(database)
    await begin(database, work, 0, 1)
    await batches.write_outcomes(
        database, work, [accepted(0), accepted(1)], worker="worker-1", give_up_in_seconds=None
    )
    await begin(database, work, 2, 3)
    before = await message_rows(database)
    await run_out(database)

    assert await rescue.rescue(database) == Rescue(1, 2, 0, 0, 0)
    rows, (batch,) = await message_rows(database), await batch_rows(database)
    assert [row["state"] for row in rows] == [A, A, D, D, Q]
    assert [row["attempt"] for row in rows] == [1, 1, 1, 1, 0]
    assert {row["reason"] for row in rows[2:4]} == {
        "the worker stopped between handing over and writing the answer down"
    }
    assert [rows[0], rows[1], rows[4]] == [before[0], before[1], before[4]]
    assert batch["state"] == "ready"
    assert batch["poll_in"] <= 0  # what was accepted is asked for at once
    assert await wrong_tallies(database) == []


async def test_nothing_begun_is_ever_queued_again(database: Database, make_desk: MakeDesk) -> None:
    """Whatever happens to the batch afterwards, what may have left does not leave a second time."""
    await submit_texts(database, "a", "b")
    await begin(database, await take_up(database), 0)
    stub = OneText("main")
    for _ in range(3):
        await run_out(database)
        await rescue.rescue(database)
        await make_due(database)
        for dealt in await batching.deal_sending(database, make_desk(stub)):
            await sending.send_batch(database, make_desk(stub), dealt)

    assert sent(stub) == ["b"]
    assert await states(database) == [D, A]


async def test_a_poll_that_died_is_made_again(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk()
    await submit(database, phones(1))
    await send_one(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)
    await polling.take_up_polling(database, dealt, worker="worker-1", lease_seconds=60)
    await run_out(database)

    assert await rescue.rescue(database) == Rescue(1, 0, 0, 0, 0)
    assert (await batch_rows(database))[0]["state"] == "tracking"
    assert len(await batching.deal_polling(database, desk)) == 1


async def test_a_lease_that_runs_is_left_alone(database: Database) -> None:
    await submit(database, phones(2), batch_size=1)
    of_account = {"main": 2}
    one, other = await dealing.deal_sending(database, in_flight=2, of_account=of_account, lease_seconds=60)
    work = await batches.take_up_sending(database, one, worker="worker-1", lease_seconds=60)
    assert work is not None
    await begin(database, work, 0)
    await run_out(database, other.batch_id)
    before = await query(database, "SELECT * FROM batch WHERE id = $1", one.batch_id)

    assert await rescue.rescue(database) == Rescue(1, 0, 0, 0, 0)
    assert await query(database, "SELECT * FROM batch WHERE id = $1", one.batch_id) == before
    assert await states(database, one.batch_id) == [S]


async def test_only_the_clock_of_the_database_decides(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose clock is a day ahead or behind takes nothing from the living and spares no dead."""
    await submit(database, phones(1))
    work = await take_up(database)
    now = time.time

    monkeypatch.setattr(time, "time", lambda: now() + timedelta(days=1).total_seconds())
    assert await rescue.rescue(database) == QUIET
    assert await begin(database, work, 0)

    monkeypatch.setattr(time, "time", lambda: now() - timedelta(days=1).total_seconds())
    await run_out(database)
    assert await rescue.rescue(database) == Rescue(1, 1, 0, 0, 0)


# --- at the same moment -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_last", [True, False], ids=["the last answer", "one in the middle"])
async def test_rescue_and_a_living_worker_never_both_have_their_way(
    database: Database, is_last: bool
) -> None:
    """A worker frozen past its lease wakes up just when rescue comes by: one writes, the other does not."""
    chance = random.Random(11)
    wins = {"worker": 0, "rescue": 0}
    await submit(database, phones(60), batch_size=2)
    for nth in range(30):
        work = await take_up(database)
        await begin(database, work, 0)
        await run_out(database)
        # Each has a start in a third of the rounds; in the others they go neck and neck.
        head_start = {0: (0, 40), 1: (40, 0)}.get(nth % 3, (chance.randrange(12), chance.randrange(12)))

        async def write(work: SendingWork = work, wait: int = head_start[0]) -> bool:
            for _ in range(wait):
                await asyncio.sleep(0)
            if is_last:
                how = Release(trouble=None)
                return bool(await batches.release(database, work, how, worker="worker-1", rows=[accepted(0)]))
            return await batches.write_outcomes(
                database, work, [accepted(0)], worker="worker-1", give_up_in_seconds=None
            )

        async def rescues(wait: int = head_start[1]) -> int:
            for _ in range(wait):
                await asyncio.sleep(0)
            return (await sweep.rescue_expired(database, limit=10, most_crashes=1000)).in_doubt_count

        is_written, *doubted = await asyncio.gather(write(), rescues(), rescues())
        (first, second), tallies = await states(database, work.batch_id), await wrong_tallies(database)

        assert (is_written, sum(doubted), first) in [(True, 0, A), (False, 1, D)]
        assert (second, tallies) == (Q, [])
        wins["worker" if is_written else "rescue"] += 1
        await rescues()
        await query(database, "UPDATE batch SET send_at = 'infinity' WHERE id = $1", work.batch_id)

    assert all(wins.values()), wins


async def test_a_lease_is_renewed_or_taken_back_never_both(database: Database) -> None:
    """At the very moment it runs out, by the database's clock."""
    chance = random.Random(5)
    wins = {"worker": 0, "rescue": 0}
    await submit(database, phones(60), batch_size=2)
    for _ in range(30):
        work = await take_up(database)
        await query(
            database,
            "UPDATE batch SET leased_until = now() + make_interval(secs => $2) WHERE id = $1",
            work.batch_id,
            chance.random() / 20,
        )

        async def rescues() -> int:
            while (await batch_rows_of(database, work.batch_id))["lease_in"] > 0:  # noqa: B023  awaited here
                continue
            return (await sweep.rescue_expired(database, limit=10, most_crashes=1000)).batch_count

        async def begins(wait: float = chance.random() / 30) -> bool:
            await asyncio.sleep(wait)
            return await begin(database, work, 0, 1)  # noqa: B023  awaited here

        async with asyncio.timeout(20):
            is_begun = False
            rescuing = asyncio.create_task(rescues())
            beginning = asyncio.create_task(begins())
            is_begun = await beginning
            if is_begun:
                rescuing.cancel()
                await asyncio.wait([rescuing])
                assert rescuing.cancelled() or rescuing.result() == 0
            else:
                await rescuing
        batch = await batch_rows_of(database, work.batch_id)
        found = await states(database, work.batch_id)
        assert (is_begun, batch["state"], found) in [(True, "leased", [S, S]), (False, "ready", [Q, Q])]
        wins["worker" if is_begun else "rescue"] += 1
        await query(database, "UPDATE batch SET send_at = 'infinity' WHERE id = $1", work.batch_id)
        await run_out(database)
        await rescue.rescue(database)

    assert all(wins.values()), wins


async def batch_rows_of(database: Database, batch_id: int) -> dict[str, Any]:
    (row,) = [row for row in await batch_rows(database) if row["id"] == batch_id]
    return row | {"lease_in": row["leased_in"] if row["leased_in"] is not None else 0.0}


async def test_many_rescuers_at_once_bring_each_batch_back_once(
    database: Database, make_desk: MakeDesk
) -> None:
    await submit(database, phones(40), batch_size=1)
    desk = make_desk()
    dealt = await batching.deal_sending(database, desk)
    for each in dealt[::2]:
        work = await batches.take_up_sending(database, each, worker="worker-1", lease_seconds=60)
        assert work is not None
        await begin(database, work, 0)
    await run_out(database)

    rounds = await asyncio.gather(*(rescue.rescue(database) for _ in range(5)))

    assert sum(done.lease_count for done in rounds) == 40
    assert sum(done.in_doubt_count for done in rounds) == 20
    assert await states(database) == [D, Q] * 20
    assert await wrong_tallies(database) == []


async def test_rescue_does_not_wait_for_what_others_hold(database: Database, database_url: str) -> None:
    await submit(database, phones(2), batch_size=1)
    await dealing.deal_sending(database, in_flight=2, of_account={"main": 2}, lease_seconds=60)
    await run_out(database)
    first, second = await batch_rows(database)
    outside = await asyncpg.connect(database_url)
    try:
        await outside.execute(f"BEGIN; SELECT FROM batch WHERE id = {first['id']} FOR NO KEY UPDATE")
        async with asyncio.timeout(5):
            assert await rescue.rescue(database) == Rescue(1, 0, 0, 0, 0)
        assert [row["state"] for row in await batch_rows(database)] == ["leased", "ready"]
    finally:
        await outside.close()
    assert second["id"] > first["id"]


async def test_a_rescuer_stopped_anywhere_leaves_all_or_nothing(database: Database) -> None:
    left = set()

    async def make() -> Coroutine[Any, Any, object]:
        await query(database, "DELETE FROM message")
        await query(database, "DELETE FROM campaign")
        await submit(database, phones(3))
        await begin(database, await take_up(database), 0)
        await run_out(database)
        return rescue.rescue(database)

    async def after(was_cut: bool) -> None:
        assert checked_out(database) == 0
        assert await wrong_tallies(database) == []
        left.add((*await states(database), (await batch_rows(database))[0]["state"]))
        await rescue.rescue(database)
        assert await states(database) == [D, Q, Q]

    assert await cut_everywhere(make, after) > 10
    assert left == {(S, Q, Q, "leased"), (D, Q, Q, "ready")}
