"""Batches that come at the same time share one statement, and nothing else: each keeps its own lease, its own
answers, its own error. And every statement of a group goes by index, whatever statistics say.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from campaigns.domain.states import BatchState, MessageState
from campaigns.store import batching as dealing
from campaigns.store import grouping
from campaigns.store.leases import Dealt
from campaigns.store.receipts import polling
from campaigns.store.receipts.polling import Evidence
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Connection, Database
from campaigns.store.tally import Release
from tests.integration.rows import query, read_so_far, run_out, states, wrong_tallies
from tests.river import phones, submit
from worker.logs.masking import render_exception

WORKER = "worker-1"
Q, S, A = MessageState.QUEUED, MessageState.SENDING, MessageState.ACCEPTED


async def deal(database: Database, count: int = 100) -> list[Dealt]:
    return await dealing.deal_sending(database, in_flight=count, of_account={"main": count}, lease_seconds=60)


async def take_up(database: Database, dealt: Sequence[Dealt]) -> list[SendingWork | None]:
    return await asyncio.gather(
        *(batches.take_up_sending(database, each, worker=WORKER, lease_seconds=60) for each in dealt)
    )


async def begin(database: Database, *works: SendingWork) -> list[frozenset[int] | None]:
    return await asyncio.gather(
        *(
            batches.begin_hand_over(
                database, each, [m.position for m in each.messages], worker=WORKER, lease_seconds=60
            )
            for each in works
        )
    )


def accepted(work: SendingWork) -> list[OutcomeRow]:
    positions = [m.position for m in work.messages]
    return [OutcomeRow(positions, A, [f"{work.number}-{position}" for position in positions])]


async def together(database: Database, batch_count: int, size: int = 3) -> list[SendingWork]:
    """A campaign whose batches are all taken up."""
    await submit(database, phones(batch_count * size), batch_size=size)
    found = await take_up(database, await deal(database))
    works = [each for each in found if each is not None]
    assert len(works) == batch_count
    return works


async def test_each_batch_gets_its_own_messages(database: Database) -> None:
    works = await together(database, 20)
    expected = [row["phone"] for row in phones(60)]
    assert [m.phone for each in sorted(works, key=lambda w: w.number) for m in each.messages] == expected
    assert await begin(database, *works) == [frozenset({0, 1, 2})] * 20
    ends = await asyncio.gather(
        *(batches.release(database, each, Release(), worker=WORKER, rows=accepted(each)) for each in works)
    )
    assert ends == [BatchState.TRACKING] * 20
    rows = await query(
        database,
        "SELECT b.number || '-' || m.position AS told, m.provider_message_id AS written"
        " FROM message m JOIN batch b ON b.id = m.batch_id",
    )
    assert all(row["told"] == row["written"] for row in rows)
    assert await wrong_tallies(database) == []


async def test_of_two_tasks_for_one_lease_one_has_it(database: Database) -> None:
    await submit(database, phones(2))
    (dealt,) = await deal(database)
    found = await take_up(database, [dealt, dealt, Dealt(dealt.batch_id, dealt.lease + 1), dealt])
    assert [each is not None for each in found] == [True, False, False, False]


async def test_an_old_lease_gains_nothing_by_sharing_a_group_with_the_new_one(database: Database) -> None:
    """A worker that was frozen, and the same process that holds the batch now, ask in one group."""
    (old,) = await together(database, 1)
    await run_out(database)
    await query(
        database,
        "UPDATE batch SET state = 'ready', leased_until = NULL, leased_by = NULL, leased_for = NULL",
    )
    (new,) = await take_up(database, await deal(database))
    assert new is not None

    one = replace(new, messages=new.messages[:1])
    first = asyncio.ensure_future(begin(database, old))
    assert await begin(database, one, old) == [frozenset({0}), None]
    assert await first == [None]
    assert await states(database) == [S, Q, Q]

    ends = await asyncio.gather(
        batches.release(database, old, Release(), worker=WORKER, rows=accepted(old)),
        batches.write_outcomes(database, old, accepted(old), worker=WORKER, give_up_in_seconds=1),
        batches.write_outcomes(database, one, accepted(one), worker=WORKER, give_up_in_seconds=60),
        batches.write_outcomes(database, one, [], worker="worker-2", give_up_in_seconds=60),
    )
    assert ends == [None, False, True, False]
    assert await states(database) == [A, Q, Q]


async def test_what_cannot_be_written_is_left_out_alone(database: Database) -> None:
    works = await together(database, 5)
    await begin(database, *works)
    bad = [replace_word(each, "\0") for each in accepted(works[2])]  # no text of PostgreSQL's
    ends = await asyncio.gather(
        *(
            batches.release(
                database, each, Release(), worker=WORKER, rows=bad if each is works[2] else accepted(each)
            )
            for each in works
        )
    )
    assert ends == [BatchState.TRACKING] * 5
    for each in works:
        assert await states(database, each.batch_id) == [A] * 3
    (reasons,) = await query(database, "SELECT array_agg(DISTINCT reason) AS all FROM message")
    assert reasons["all"] == [None]


async def test_a_programming_error_is_raised_to_each_with_its_place_and_nothing_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = await together(database, 5)
    await begin(database, *works)
    groups: list[int] = []

    async def mistaken(connection: Connection, asked: Sequence[Any]) -> Sequence[Any]:
        groups.append(len(asked))
        return asked[len(asked)]  # type: ignore[no-any-return]

    monkeypatch.setattr(batches, "write_and_let_go", mistaken)
    ends = await asyncio.gather(
        *(batches.release(database, each, Release(), worker=WORKER) for each in works), return_exceptions=True
    )
    assert [type(each) for each in ends] == [IndexError] * 5
    assert sum(groups) == 5  # each was asked for once
    told = str(render_exception(None, "error", {"exc_info": ends[0]})["exception"])
    assert "in mistaken" in told
    assert "test_groups.py" in told
    for each in works:
        assert await states(database, each.batch_id) == [S] * 3


def replace_word(written: OutcomeRow, word: str) -> OutcomeRow:
    return OutcomeRow(written.positions, written.state, reason=word)


async def test_an_id_is_written_down_beside_only_where_callbacks_name_it(database: Database) -> None:
    plain, named = await together(database, 2)
    await begin(database, plain, named)
    by_id = [replace(each, by_id=True) for each in accepted(named)]
    await asyncio.gather(
        *(
            batches.release(database, work, Release(), worker=WORKER, rows=written)
            for work, written in ((plain, accepted(plain)), (named, by_id))
        )
    )
    rows = await query(database, "SELECT * FROM message_by_provider_id ORDER BY position")
    assert [(row["provider_message_id"], row["batch_id"], row["position"]) for row in rows] == [
        (f"{named.number}-{position}", named.batch_id, position) for position in range(3)
    ]


async def test_each_poll_brings_its_own_word(database: Database) -> None:
    works = await together(database, 6)
    await begin(database, *works)
    for each in works:
        how = Release(poll_in_seconds=0)
        await batches.release(database, each, how, worker=WORKER, rows=accepted(each))
    dealt = await dealing.deal_polling(database, in_flight=9, of_account={"main": 9}, lease_seconds=60)
    taken = await asyncio.gather(
        *(polling.take_up_polling(database, each, worker=WORKER, lease_seconds=60) for each in dealt)
    )
    words = ["delivered", "failed", "sent", "expired", "read", "rejected"]
    polled = [each for each in taken if each is not None]
    ends = await asyncio.gather(
        *(
            polling.merge_polled(
                database,
                each,
                [Evidence(p, MessageState(words[each.number - 1]), str(each.number)) for p in (0, 1, 2)],
                Release(poll_in_seconds=1),
                worker=WORKER,
            )
            for each in polled
        )
    )
    assert {each.number: end for each, end in zip(polled, ends, strict=True)} == {
        number: BatchState.TRACKING if word == "sent" else BatchState.DONE
        for number, word in enumerate(words, 1)
    }
    for each in works:
        assert await states(database, each.batch_id) == [MessageState(words[each.number - 1])] * 3
    assert await wrong_tallies(database) == []


async def test_a_group_goes_by_index_whatever_statistics_say(database: Database) -> None:
    """What was taken in a minute ago is known to be queued, all of it: a plan for that reads the whole table
    for each message of a group.
    """
    await submit(database, phones(12_000), batch_size=100)
    await query(database, "ANALYZE")
    before = await scans(database)

    found = await take_up(database, await deal(database, 40))
    works = [each for each in found if each is not None]
    await begin(database, *works)
    for write in (keep, give_back):
        await asyncio.gather(*(write(database, each) for each in works))
    dealt = await dealing.deal_polling(database, in_flight=40, of_account={"main": 40}, lease_seconds=60)
    await asyncio.gather(*(learn(database, each) for each in dealt))

    assert len(works) == len(dealt) == 40
    assert await scans(database) == before


async def test_a_group_finds_leases_by_id_and_not_among_all_that_were_leased(database: Database) -> None:
    await submit(database, phones(400), batch_size=10)
    dealt = await deal(database, 40)
    before = await searches(database)
    works = [each for each in await take_up(database, dealt[:30]) if each is not None]
    await begin(database, *works)
    for write in (keep, give_back):
        await asyncio.gather(*(write(database, each) for each in works))
    assert await dealing.take_back(database, dealt[30:]) == 10
    assert await searches(database) == before

    dealt = await dealing.deal_polling(database, in_flight=40, of_account={"main": 40}, lease_seconds=60)
    before = await searches(database)
    await asyncio.gather(*(learn(database, each) for each in dealt))
    assert len(works) == len(dealt) == 30
    assert await searches(database) == before


async def keep(database: Database, work: SendingWork) -> None:
    await batches.write_outcomes(database, work, accepted(work), worker=WORKER, give_up_in_seconds=60)


async def give_back(database: Database, work: SendingWork) -> None:
    how = Release(poll_in_seconds=0)
    await batches.release(database, work, how, worker=WORKER, rows=accepted(work))


async def learn(database: Database, dealt: Dealt) -> None:
    work = await polling.take_up_polling(database, dealt, worker=WORKER, lease_seconds=60)
    assert work is not None
    evidence = [Evidence(position, A, "again") for position in work.ids.values()]
    await polling.merge_polled(database, work, evidence, Release(), worker=WORKER, absent=[1])


async def scans(database: Database) -> int:
    """How often the table of messages was read from its beginning to its end."""
    return await read_so_far(database, "table", "message", "seq_scan")


async def searches(database: Database) -> int:
    """How often something was looked for in the index of what is leased."""
    return await read_so_far(database, "index", "batch_leased", "idx_scan")


async def test_making_ready_changes_nothing_and_opens_as_many_as_are_used_at_once(database: Database) -> None:
    await submit(database, phones(2))
    before = await query(database, "SELECT * FROM batch"), await states(database)
    await grouping.prepare(database)
    assert (await query(database, "SELECT * FROM batch"), await states(database)) == before
    (open_now,) = await query(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'campaigns'",
    )
    assert open_now["n"] >= 6
