"""Who may hand over and who may write: accounts, leases, slots."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from campaigns import aggregation, batching, holding, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.policy import Account
from campaigns.domain.provider import AccountTrouble, OutboundMessage
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store import batching as dealing
from campaigns.store.holding import accounts
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import MakeDesk
from tests.integration.one_batch import Full, OneText, about, deal_one, hurried, send_one, sent, submit_texts
from tests.integration.rows import (
    batch_rows,
    message_rows,
    pass_deadlines,
    query,
    run_out,
    states,
    wrong_tallies,
)
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED


# --- the account ------------------------------------------------------------------------------------


async def test_account_trouble_stops_every_campaign_of_the_account_and_no_other(
    database: Database, make_desk: MakeDesk
) -> None:
    """What is in flight stops at its next request: a hundred messages must not each learn it anew."""
    first = await submit_texts(database, "a", "b")
    await submit_texts(database, "c", "d", first=10)
    await submit_texts(database, "e", "f", first=20, account="other")
    trouble = AccountTrouble("32", "not enough money")
    poor = OneText("main", outcomes={first[0]: [trouble]}, timeout_seconds=30)
    rich = OneText("other")
    desk = make_desk(accounts={"main": poor, "other": rich})
    dealt = sorted(await batching.deal_sending(database, desk), key=lambda each: each.batch_id)

    async def another_meanwhile() -> None:
        if sent(poor) == ["c"]:
            nested.append(await sending.send_batch(database, desk, dealt[0]))

    nested: list[sending.Verdict] = []
    poor._before_answer = another_meanwhile
    in_flight = await sending.send_batch(database, desk, dealt[1])
    of_other = await sending.send_batch(database, desk, dealt[2])

    assert sent(poor) == ["c", "a"]
    assert [(v.state, v.held_account) for v in nested] == [(BatchState.READY, "main")]
    assert (in_flight.state, in_flight.handed_over_count) == (BatchState.READY, 1)
    assert await states(database) == [Q, Q, A, Q, A, A]
    assert [row["attempt"] for row in await message_rows(database)] == [0, 0, 1, 0, 1, 1]
    assert sent(rich) == ["e", "f"]
    assert of_other.state is BatchState.TRACKING
    assert [(hold.account, hold.code, hold.reason) for hold in await holding.holds(database)] == [
        ("main", "32", "not enough money")
    ]
    assert await batching.deal_sending(database, desk) == []

    await holding.resume_account(database, "main")
    for each in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, each)
    assert sent(poor) == ["c", "a", "a", "b", "d"]


# --- who may hand over, who may write ---------------------------------------------------------------


async def take_up(database: Database, worker: str = "worker-1", lease_seconds: float = 60) -> SendingWork:
    (dealt,) = await dealing.deal_sending(
        database, in_flight=1, of_account={"main": 1}, lease_seconds=lease_seconds
    )
    work = await batches.take_up_sending(database, dealt, worker=worker, lease_seconds=lease_seconds)
    assert work is not None
    return work


async def begin(
    database: Database, work: SendingWork, positions: Sequence[int] = (0, 1), worker: str = "worker-1"
) -> frozenset[int] | None:
    return await batches.begin_hand_over(database, work, positions, worker=worker, lease_seconds=600)


async def paused(database: Database, work: SendingWork) -> None:
    await aggregation.change_state(database, work.campaign_id, CampaignState.PAUSED)


async def cancelled(database: Database, work: SendingWork) -> None:
    await aggregation.change_state(database, work.campaign_id, CampaignState.CANCELLED)


async def held(database: Database, work: SendingWork) -> None:
    await accounts.hold(database, "main", NewHold("32", "no money", 30))


async def ran_out(database: Database, work: SendingWork) -> None:
    await run_out(database)


async def rescued(database: Database, work: SendingWork) -> None:
    await run_out(database)
    await rescue.rescue(database)


async def taken_over(database: Database, work: SendingWork) -> None:
    await rescued(database, work)
    await take_up(database)


async def too_late(database: Database, work: SendingWork) -> None:
    await pass_deadlines(database)


@pytest.mark.parametrize(
    "bend", [paused, cancelled, held, ran_out, rescued, taken_over, too_late], ids=lambda bend: bend.__name__
)
async def test_nothing_may_leave_any_more(
    database: Database, bend: Callable[[Database, SendingWork], Awaitable[None]]
) -> None:
    await submit(database, phones(2))
    work = await take_up(database)
    await bend(database, work)
    before = await message_rows(database), await query(database, "SELECT * FROM batch")

    assert not await begin(database, work)

    assert (await message_rows(database), await query(database, "SELECT * FROM batch")) == before
    assert [row["attempt"] for row in before[0]] == [0, 0]
    assert Q in {row["state"] for row in before[0]}


@pytest.mark.parametrize(
    "bend", [paused, cancelled, held, ran_out, rescued, taken_over, too_late], ids=lambda bend: bend.__name__
)
async def test_a_task_that_may_not_hand_over_any_more_gives_its_batch_back(
    database: Database, make_desk: MakeDesk, bend: Callable[[Database, SendingWork], Awaitable[None]]
) -> None:
    """It may stand still between any two requests; what it handed over before stays written down."""
    await submit_texts(database, "a", "b")
    stub = OneText("main")
    turns = 0

    async def wait_for_pace() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            (batch,) = await batch_rows(database)
            work = SendingWork(batch["id"], batch["lease"], batch["campaign_id"], 1, "main", "Demo", 0, [])
            await bend(database, work)

    desk = replace(make_desk(stub), accounts={"main": Account(stub, wait_for_pace, 10)})

    verdict = await send_one(database, desk)

    assert sent(stub) == ["a"]
    assert await states(database) == [A, Q]
    if bend in {rescued, taken_over}:
        assert (verdict.state, verdict.trouble) == (None, "lease lost")
    else:
        assert (verdict.state, verdict.trouble) == (BatchState.READY, None)
    assert verdict.handed_over_count == 1


async def test_a_place_with_the_provider_is_held_from_before_the_intent_until_the_answer(
    database: Database, make_desk: MakeDesk
) -> None:
    seen: list[list[MessageState]] = []

    class Seen:
        is_wanted = False

        async def advance(self) -> None:
            seen.append(await states(database))

    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(1))
    await sending.send_batch(database, desk, await deal_one(database, desk), Seen())
    assert (seen, await states(database)) == ([[Q], [S]], [A])


async def test_who_waits_too_long_for_a_place_gives_the_batch_back(
    database: Database, make_desk: MakeDesk
) -> None:
    """Before its lease ends: else it would look as if a worker had ended on it."""
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(2))
    verdict = await sending.send_batch(database, hurried(desk), await deal_one(database, desk), Full())

    assert (verdict.state, verdict.handed_over_count, verdict.due_in_seconds) == (BatchState.READY, 0, 0)
    assert (stub.ledger, await states(database)) == ([], [Q, Q])
    (batch,) = await batch_rows(database)
    assert (batch["retry_count"], batch["crash_count"], batch["trouble"]) == (0, 0, None)
    assert (await send_one(database, desk)).handed_over_count == 2


async def test_only_the_one_who_took_it_up_may_write(database: Database) -> None:
    await submit(database, phones(2))
    work = await take_up(database)
    await begin(database, work)
    before = await message_rows(database), await query(database, "SELECT * FROM batch")
    written = [OutcomeRow([0], A, ["id-0"])]

    for worker, lease in (("worker-2", work.lease), ("worker-1", work.lease - 1)):
        other = replace(work, lease=lease)
        assert not await batches.write_outcomes(
            database, other, written, worker=worker, give_up_in_seconds=60
        )
        assert await batches.release(database, other, Release(), worker=worker, rows=written) is None
    assert (await message_rows(database), await query(database, "SELECT * FROM batch")) == before


async def test_only_the_one_who_took_it_up_may_hand_over(database: Database) -> None:
    await submit(database, phones(2))
    work = await take_up(database)

    assert not await begin(database, work, worker="worker-2")
    assert not await begin(database, replace(work, lease=work.lease - 1))
    assert await begin(database, work)
    (batch,) = await batch_rows(database)
    assert batch["leased_in"] == about(600)  # renewed


async def test_what_is_not_queued_any_more_may_not_leave(database: Database) -> None:
    """A receipt may have come meanwhile for what had been in doubt before."""
    await submit(database, phones(2))
    work = await take_up(database)
    assert await begin(database, work, [0]) == {0}

    assert await begin(database, work, [0, 1]) == {1}
    assert await states(database) == [S, S]
    assert [row["attempt"] for row in await message_rows(database)] == [1, 1]


async def test_an_adapter_that_puts_a_message_into_two_requests_sends_it_once(
    database: Database, make_desk: MakeDesk
) -> None:
    class Twice(Stub):
        def requests(
            self, messages: Sequence[OutboundMessage], sender_id: str
        ) -> list[list[OutboundMessage]]:
            return [list(messages), list(messages)]

    stub = Twice("main")
    await submit(database, phones(2))

    verdict = await send_one(database, make_desk(stub))
    assert (verdict.state, verdict.handed_over_count, len(stub.ledger)) == (BatchState.TRACKING, 2, 2)
    assert await states(database) == [A, A]


@pytest.mark.parametrize("words", ["a", "ab"], ids=["in the last request", "in the middle"])
async def test_an_answer_after_the_lease_was_taken_back_is_not_written(
    database: Database, make_desk: MakeDesk, words: str
) -> None:
    async def the_lease_runs_out() -> None:
        await run_out(database)
        assert (await rescue.rescue(database)).in_doubt_count == 1

    await submit_texts(database, *words)
    stub = OneText("main", before_answer=the_lease_runs_out)

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.state, verdict.trouble, verdict.handed_over_count) == (None, "lease lost", 1)
    assert sent(stub) == ["a"]
    rows = await message_rows(database)
    assert [row["state"] for row in rows] == [D, Q][: len(words)]
    assert rows[0]["provider_message_id"] is None
    assert await wrong_tallies(database) == []


@pytest.mark.parametrize("words", ["ab", "abc"], ids=["both at their last", "both in the middle"])
async def test_whoever_took_the_batch_over_is_never_overwritten(
    database: Database, make_desk: MakeDesk, words: str
) -> None:
    """Not even within one process, where both have the same name: the lease's number tells them apart."""
    late_may_answer, heir_may_answer = asyncio.Event(), asyncio.Event()
    stub = OneText("main")
    desk = make_desk(stub)

    async def wait() -> None:
        await (late_may_answer if len(stub.ledger) == 1 else heir_may_answer).wait()

    await submit_texts(database, *words)
    stub._before_answer = wait
    late = asyncio.create_task(send_one(database, desk))
    await until(lambda: len(stub.ledger) == 1)
    await run_out(database)
    await rescue.rescue(database)
    heir = asyncio.create_task(send_one(database, desk))
    await until(lambda: len(stub.ledger) == 2)
    before = await query(database, "SELECT * FROM batch"), await message_rows(database)

    late_may_answer.set()
    verdict = await late

    assert (verdict.state, verdict.trouble) == (None, "lease lost")
    assert (await query(database, "SELECT * FROM batch"), await message_rows(database)) == before
    heir_may_answer.set()
    assert (await heir).handed_over_count == len(words) - 1
    assert await states(database) == [D, *[A] * (len(words) - 1)]
    assert sent(stub) == list(words)
