"""Handing over: what is written before a request leaves, what after, and who may write it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from campaigns import aggregation, batching, holding, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.policy import Account
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store import batching as dealing
from campaigns.store.holding import accounts
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import MakeDesk
from tests.integration.hands import (
    SLOW,
    Full,
    OneText,
    about,
    deal_one,
    hurried,
    send_one,
    sent,
    submit_texts,
)
from tests.integration.rows import (
    batch_rows,
    checked_out,
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


# --- the intent ---


async def test_the_intent_is_committed_before_the_request_leaves(
    database: Database, database_url: str, make_desk: MakeDesk
) -> None:
    seen: dict[str, Any] = {}

    async def look() -> None:
        outside = await asyncpg.connect(database_url)
        try:
            seen["messages"] = await outside.fetch("SELECT state::text, attempt FROM message")
            seen["batch"] = await outside.fetchrow(
                "SELECT state::text, sending_count, queued_count FROM batch"
            )
            seen["sessions"] = await outside.fetch(
                "SELECT state, xact_start FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'campaigns' AND pid <> pg_backend_pid()"
            )
        finally:
            await outside.close()
        seen["checked out"] = checked_out(database)

    await submit(database, phones(3))
    await send_one(database, make_desk(Stub("main", before_answer=look)))

    assert seen["messages"] == [("sending", 1)] * 3
    assert seen["batch"] == ("leased", 3, 0)
    assert seen["sessions"]
    assert all(session == ("idle", None) for session in seen["sessions"])
    assert seen["checked out"] == 0


async def test_each_request_has_its_own_intent_and_its_own_outcome(
    database: Database, make_desk: MakeDesk
) -> None:
    seen = []

    async def look() -> None:
        seen.append((await states(database), await wrong_tallies(database)))

    await submit_texts(database, "a", "a", "b", "c")
    verdict = await send_one(database, make_desk(OneText("main", before_answer=look)))

    assert seen == [([S, S, Q, Q], []), ([A, A, S, Q], []), ([A, A, A, S], [])]
    assert (verdict.state, verdict.handed_over_count) == (BatchState.TRACKING, 4)


# --- what becomes of each outcome ---


@dataclass(frozen=True)
class Case:
    """An outcome, and what is to stand in the rows afterwards."""

    outcome: Outcome
    state: MessageState
    batch: BatchState
    attempt: int = 1
    reason: str | None = None
    word: str | None = None
    send_in: float = 0
    retry_count: int = 0
    trouble: str | None = None
    is_polled: bool = False
    moves_deadline: bool = False
    columns: dict[str, Any] = field(default_factory=dict)


CASES = {
    "accepted": Case(
        Accepted("id-1", Decimal("0.0144"), 3),
        A,
        BatchState.TRACKING,
        is_polled=True,
        moves_deadline=True,
        columns={"provider_message_id": "id-1", "cost": Decimal("0.0144"), "segment_count": 3},
    ),
    "accepted, no more said": Case(
        Accepted("id-2"),
        A,
        BatchState.TRACKING,
        is_polled=True,
        moves_deadline=True,
        columns={"provider_message_id": "id-2", "cost": None, "segment_count": 1},
    ),
    "accepted, with a count no message can have": Case(
        Accepted("id-3", None, 999_999_999),
        A,
        BatchState.TRACKING,
        is_polled=True,
        moves_deadline=True,
        columns={"segment_count": 1},
    ),
    "rejected": Case(
        Rejected("13", "phone in the blacklist"),
        MessageState.REJECTED,
        BatchState.DONE,
        reason="phone in the blacklist",
        word="13",
    ),
    "failed": Case(
        Failed("12", "error sending"), MessageState.FAILED, BatchState.DONE, reason="error sending", word="12"
    ),
    "in doubt": Case(InDoubt("no answer"), D, BatchState.TRACKING, reason="no answer", moves_deadline=True),
    "throttled, says how long": Case(
        Throttled(700, "HTTP 429"),
        Q,
        BatchState.READY,
        reason="HTTP 429",
        send_in=700,
        retry_count=1,
        trouble="HTTP 429",
    ),
    "throttled, says a hammering time": Case(
        Throttled(0, "HTTP 429"),
        Q,
        BatchState.READY,
        reason="HTTP 429",
        send_in=500,
        retry_count=1,
        trouble="HTTP 429",
    ),
    "throttled, says nothing": Case(
        Throttled(None, "closed"),
        Q,
        BatchState.READY,
        reason="closed",
        send_in=500,
        retry_count=1,
        trouble="closed",
    ),
    "not sent": Case(
        NotSent("connection refused"),
        Q,
        BatchState.READY,
        reason="connection refused",
        send_in=500,
        retry_count=1,
        trouble="connection refused",
    ),
    "not sent, and mended": Case(
        NotSent("clock", retry_at_once=True),
        Q,
        BatchState.READY,
        reason="clock",
        send_in=0,
        retry_count=1,
        trouble="clock",
    ),
    "account trouble": Case(
        AccountTrouble("32", "not enough money"),
        Q,
        BatchState.READY,
        attempt=0,
        reason="not enough money",
        word="32",
        retry_count=1,
        trouble="account on hold: not enough money",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_every_outcome_is_written_down(database: Database, make_desk: MakeDesk, case: Case) -> None:
    (phone,) = await submit_texts(database, "a")
    stub = Stub("main", outcomes={phone: [case.outcome]})

    verdict = await send_one(database, make_desk(stub, policy=SLOW))

    (message,), (batch,) = await message_rows(database), await batch_rows(database)
    assert message["state"] == case.state
    assert message["attempt"] == case.attempt
    assert message["reason"] == case.reason
    assert message["provider_state"] == case.word
    assert {name: message[name] for name in case.columns} == case.columns
    assert verdict.state is case.batch
    assert (batch["state"], batch["retry_count"], batch["trouble"]) == (
        case.batch,
        case.retry_count,
        case.trouble,
    )
    assert verdict.trouble == case.trouble
    assert (batch["leased_by"], batch["leased_until"]) == (None, None)
    assert batch["send_in"] == about(case.send_in)
    assert batch["poll_in"] == (about(1_000) if case.is_polled else None)
    assert batch["give_up_in"] == about(50_000 if case.moves_deadline else 3_600)
    assert verdict.handed_over_count == int(case.moves_deadline)
    assert await wrong_tallies(database) == []


async def test_refusals_wait_longer_each_time_until_something_is_taken(
    database: Database, make_desk: MakeDesk
) -> None:
    (phone,) = await submit_texts(database, "a")
    refused = NotSent("connection refused")
    stub = Stub("main", outcomes={phone: [refused, Throttled(1, "HTTP 429"), refused, InDoubt("cut")]})
    waits = []
    for _ in range(4):
        await query(database, "UPDATE batch SET send_at = now()")
        await send_one(database, make_desk(stub, policy=SLOW))
        (batch,) = await batch_rows(database)
        waits.append((batch["retry_count"], batch["send_in"]))

    assert waits == [(1, about(500)), (2, about(1_000)), (3, about(2_000)), (0, about(0))]


async def test_the_word_on_one_attempt_is_not_kept_for_the_next(
    database: Database, make_desk: MakeDesk
) -> None:
    (phone,) = await submit_texts(database, "a")
    desk = make_desk(Stub("main", outcomes={phone: [AccountTrouble("32", "not enough money")]}))
    await send_one(database, desk)
    await holding.resume_account(database, "main")
    await send_one(database, desk)

    (message,) = await message_rows(database)
    assert (message["state"], message["attempt"]) == ("accepted", 1)
    assert (message["provider_state"], message["reason"]) == (None, None)


@pytest.mark.parametrize(
    ("trouble", "attempt", "wait"),
    [
        (NotSent("connection refused"), 1, 500),
        (Throttled(700, "HTTP 429"), 1, 700),
        (AccountTrouble("32", "no money"), 0, 0),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_trouble_in_the_middle_keeps_what_was_taken_and_queues_the_rest(
    database: Database, make_desk: MakeDesk, trouble: Outcome, attempt: int, wait: float
) -> None:
    numbers = await submit_texts(database, "a", "b", "b", "c")
    stub = OneText("main", outcomes={numbers[1]: [trouble]})

    verdict = await send_one(database, make_desk(stub, policy=SLOW))

    assert sent(stub) == ["a", "b", "b"]
    rows, (batch,) = await message_rows(database), await batch_rows(database)
    assert [row["state"] for row in rows] == [A, Q, A, Q]
    assert [row["attempt"] for row in rows] == [1, attempt, 1, 0]
    assert (verdict.state, verdict.handed_over_count) == (BatchState.READY, 2)
    assert batch["retry_count"] == 0  # it made way
    assert batch["send_in"] == about(wait)
    assert batch["poll_in"] == about(1_000)
    assert batch["give_up_in"] == about(50_000)


async def test_doubt_and_refusals_do_not_hold_the_others_up(database: Database, make_desk: MakeDesk) -> None:
    numbers = await submit_texts(database, "a", "b", "c", "d")
    answers: list[Outcome] = [InDoubt("cut"), Rejected("13", "blacklist"), Failed("12", "error")]
    stub = OneText("main", outcomes={n: [o] for n, o in zip(numbers, answers, strict=False)})

    verdict = await send_one(database, make_desk(stub))

    assert sent(stub) == ["a", "b", "c", "d"]
    assert await states(database) == [D, MessageState.REJECTED, MessageState.FAILED, A]
    assert (verdict.state, verdict.handed_over_count, verdict.trouble) == (BatchState.TRACKING, 2, None)


async def test_an_attempt_in_vain_does_not_put_off_what_is_to_be_polled(
    database: Database, make_desk: MakeDesk
) -> None:
    """Else a provider that throttles for an hour is not asked for an hour what it did accept."""
    numbers = await submit_texts(database, "a", "b")
    refused = NotSent("connection refused")
    stub = OneText("main", outcomes={numbers[1]: [refused, refused]})
    desk = make_desk(stub, policy=SLOW)
    await send_one(database, desk)
    await query(
        database,
        "UPDATE batch SET send_at = now(), poll_at = now() + interval '10 seconds', poll_count = 3",
    )

    await send_one(database, desk)

    (batch,) = await batch_rows(database)
    assert (batch["poll_count"], batch["retry_count"]) == (3, 1)
    assert batch["poll_in"] == about(10)


async def test_the_deadline_moves_on_only_when_something_was_handed_over(
    database: Database, make_desk: MakeDesk
) -> None:
    """A provider that is down for ever must not push it away attempt by attempt."""
    numbers = await submit_texts(database, "a", "b")
    stub = OneText("main", outcomes={numbers[0]: [NotSent("down")], numbers[1]: [NotSent("down")]})
    desk = make_desk(stub, policy=SLOW)
    deadlines = []
    for _ in range(3):
        await query(database, "UPDATE batch SET send_at = now()")
        await send_one(database, desk)
        deadlines.append((await batch_rows(database))[0]["give_up_in"])

    assert deadlines == [about(3_600), about(50_000), about(50_000)]
    assert sent(stub) == ["a", "a", "b", "b"]


# --- the account ---


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


# --- who may hand over, who may write ---


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
        assert await batches.release(database, other, Release(), worker=worker, written=written) is None
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
