"""The stub: scripted, in memory, and honest about what it was given."""

import asyncio
from decimal import Decimal

import pytest

from campaigns.domain.provider import Accepted, InDoubt, Money, NotSent, Outcome, Receipt, Rejected, Throttled
from campaigns.domain.states import MessageState
from tests.contract.providers.members import SENDER, messages
from tests.contract.providers.pace import at_once
from tests.stub import Stub


async def hand_over(stub: Stub, count: int = 2) -> list[Outcome]:
    return await stub.hand_over(messages(count), SENDER, asyncio.get_running_loop().time() + 5)


async def test_it_answers_as_scripted_and_then_takes_everything() -> None:
    refused, slow = Rejected("16", "no such number"), Throttled(3.0, "slow down")
    stub = Stub("dry", outcomes={"+37061200001": [slow, refused]})
    taken = [Accepted(f"stub-ref-{at}", Decimal(0), 1) for at in (1, 2)]
    assert [await hand_over(stub) for _ in range(3)] == [[slow, taken[1]], [refused, taken[1]], taken]
    assert [line.outcome for line in stub.ledger] == [slow, taken[1], refused, taken[1], *taken]
    assert [line.message for line in stub.ledger] == messages(2) * 3
    assert {line.sender_id for line in stub.ledger} == {SENDER}
    assert messages(1)[0].text not in repr(stub.ledger)


async def test_what_came_too_late_is_not_in_the_ledger() -> None:
    stub = Stub("dry")
    outcomes = await stub.hand_over(messages(2), SENDER, asyncio.get_running_loop().time())
    assert all(isinstance(outcome, NotSent) for outcome in outcomes)
    assert stub.ledger == []


async def test_an_answer_that_never_comes_is_in_doubt_and_in_the_ledger() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    stub = Stub("dry", timeout_seconds=0.05, before_answer=never)
    assert await hand_over(stub) == [InDoubt("no whole answer within 0.05 s")] * 2
    assert len(stub.ledger) == 2


async def test_a_cancelled_hand_over_is_in_the_ledger() -> None:
    reached = asyncio.Event()

    async def never() -> None:
        reached.set()
        await asyncio.Event().wait()

    stub = Stub("dry", before_answer=never)
    task = asyncio.create_task(hand_over(stub))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stub.ledger) == 2


async def test_polls_say_one_word_after_another() -> None:
    stub = Stub("dry", states={"+37061200001": ["accepted", "lost", "delivered"]})
    await hand_over(stub)
    said = [(await stub.ask(["stub-ref-1"], at_once)).receipts[0] for _ in range(4)]
    assert said == [
        Receipt("stub-ref-1", MessageState.ACCEPTED, "accepted"),
        Receipt("stub-ref-1", None, "lost"),
        *[Receipt("stub-ref-1", MessageState.DELIVERED, "delivered")] * 2,
    ]


async def test_a_stub_started_again_knows_its_ids_and_no_others() -> None:
    answers = await Stub("dry").ask(["stub-ref-7", "4092112510348380960001"], at_once)
    assert answers.receipts == [Receipt("stub-ref-7", MessageState.DELIVERED, "delivered")]


async def test_requests_are_as_large_as_it_was_told() -> None:
    stub = Stub("dry", max_recipients_per_request=40)
    assert [len(request) for request in stub.requests(messages(100), SENDER)] == [40, 40, 20]


async def test_its_account_is_never_spent() -> None:
    stub = Stub("dry", balance=Money(Decimal(5), "EUR"))
    await hand_over(stub)
    assert await stub.balance() == Money(Decimal(5), "EUR")
    assert await stub.statistics("2025-01") == []
