"""Handing over: the intent is committed first, and every outcome is written down."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from campaigns import holding
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import SLOW, OneText, about, send_one, sent, submit_texts
from tests.integration.rows import batch_rows, checked_out, message_rows, query, states, wrong_tallies
from tests.river import phones, submit
from tests.stub import Stub

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED


# --- the intent -------------------------------------------------------------------------------------


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


# --- what becomes of each outcome -------------------------------------------------------------------


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
