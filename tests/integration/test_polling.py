"""When a provider is asked again, and who may write what it says."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from campaigns import batching, receipts, rescue
from campaigns.domain.policy import Account
from campaigns.domain.provider import Answers, PaceUsedUp, WaitForPace
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.receipts import polling
from campaigns.store.sending import hand_over as batches
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import SLOW, Full, about, hurried, send_one
from tests.integration.polled import Answering, handed_over, poll_one, said
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
from tests.river import phones, submit
from tests.stub import Stub

A, U = MessageState.ACCEPTED, MessageState.UNKNOWN
SENT, BUFFERED, DELIVERED = MessageState.SENT, MessageState.BUFFERED, MessageState.DELIVERED


# --- when to ask again ------------------------------------------------------------------------------


async def test_questions_come_ever_more_rarely(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering(*[said()] * 2, Answers([], "HTTP 500"), said())
    desk = make_desk(provider, policy=SLOW)
    await submit(database, phones(1))
    await send_one(database, desk)
    waits = []
    for _ in range(4):
        (batch,) = await batch_rows(database)
        waits.append((batch["poll_count"], batch["poll_in"], batch["trouble"]))
        await make_due(database)
        await poll_one(database, desk)

    assert waits == [
        (0, about(1_000), None),
        (1, about(2_000), None),
        (2, about(4_000), None),
        (3, about(8_000), "HTTP 500"),
    ]


@pytest.mark.parametrize(
    ("trouble", "retry_after", "word", "wait", "poll_count"),
    [
        (None, 30, False, 30, 0),  # our own pace: as soon as it allows
        ("HTTP 503", 1_500, False, 1_500, 0),
        ("HTTP 503", 0, False, 1_000, 0),  # never sooner than the first question
        ("HTTP 503", 3_000, True, 3_000, 1),
        ("HTTP 503", 30, True, 2_000, 1),  # by backoff: it did say something
        (None, 30, True, 2_000, 1),
    ],
)
async def test_a_wish_to_be_asked_later_is_respected(
    database: Database,
    make_desk: MakeDesk,
    trouble: str | None,
    retry_after: float,
    word: bool,
    wait: float,
    poll_count: int,
) -> None:
    provider = Answering()
    desk = make_desk(provider, policy=SLOW)
    (a,) = await handed_over(database, desk)
    receipts_of = said(*([(a, SENT)] if word else [])).receipts
    provider._answers = [Answers(receipts_of, trouble, retry_after, [] if word else [a])]

    polled = await poll_one(database, desk)

    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"]) == (about(wait), poll_count)
    assert polled.trouble == batch["trouble"] == trouble


async def test_when_the_pace_is_used_up_the_poll_comes_back_when_it_allows(
    database: Database, make_desk: MakeDesk
) -> None:
    async def wait_for_pace() -> None:
        raise PaceUsedUp(700)

    stub = Stub("main")
    desk = make_desk(stub, policy=SLOW)
    await handed_over(database, desk)
    too_fast = replace(desk, accounts={"main": Account(stub, wait_for_pace, 1)})

    polled = await poll_one(database, too_fast)

    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], polled.trouble) == (about(700), 0, None)


async def raises() -> Answers:
    raise KeyError("status")


async def hangs() -> Answers:
    await asyncio.Event().wait()
    return Answers([])


async def gives_trouble() -> Answers:
    return Answers([], "an answer of no use")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (gives_trouble, "an answer of no use"),
        (raises, "the adapter broke down: KeyError at campaigns/adapter_calls.py:"),
        (hangs, "the adapter gave no answer in time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_trouble_changes_no_message_and_is_asked_again(
    database: Database, make_desk: MakeDesk, answer: Callable[[], Awaitable[Answers]], why: str
) -> None:
    provider = Answering(answer)
    await handed_over(database, make_desk(), 2)
    before = await message_rows(database)

    polled = await poll_one(database, make_desk(provider, policy=replace(SLOW, lease_seconds=1)))

    assert (polled.state, polled.answered_count) == (BatchState.TRACKING, 0)
    assert str(polled.trouble).rstrip("0123456789") == why  # without the line
    assert await message_rows(database) == before
    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], batch["trouble"]) == (about(2_000), 1, polled.trouble)


async def test_a_place_with_the_provider_is_held_while_it_is_asked(
    database: Database, make_desk: MakeDesk
) -> None:
    way: list[str] = []

    class Seen:
        is_wanted = False

        async def advance(self) -> None:
            way.append("on")

    class Asked(Stub):
        async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
            way.append("asked")
            return await super().ask(provider_message_ids, wait_for_pace)

    desk = make_desk(Asked("main"))
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)
    await receipts.poll_batch(database, desk, dealt, Seen())
    assert way == ["on", "asked", "on"]


async def test_who_waits_too_long_for_a_place_asks_nothing_and_is_dealt_again(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await handed_over(database, desk, 2)
    (dealt,) = await batching.deal_polling(database, desk)
    polled = await receipts.poll_batch(database, hurried(desk), dealt, Full())

    assert (polled.state, polled.answered_count, polled.trouble) == (BatchState.TRACKING, 0, None)
    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], batch["crash_count"]) == (about(0), 0, 0)
    assert (await poll_one(database, desk)).answered_count == 2


async def test_an_account_this_worker_does_not_know_is_left_to_others(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)

    polled = await receipts.poll_batch(database, make_desk(accounts={"other": Stub("other")}), dealt)

    assert (polled.state, polled.trouble) == (
        BatchState.TRACKING,
        "this worker's settings know no account 'main'",
    )
    assert (await batch_rows(database))[0]["poll_in"] == about(60)


# --- who may write ----------------------------------------------------------------------------------


async def test_only_the_first_to_take_the_lease_up_asks(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering(said(), said())
    desk = make_desk(provider)
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)

    assert (await receipts.poll_batch(database, desk, dealt)).state is BatchState.TRACKING
    again = await receipts.poll_batch(database, desk, dealt)
    as_sending = await batches.take_up_sending(database, dealt, worker="worker-1", lease_seconds=60)

    assert (again.state, again.asked_count, again.trouble, as_sending) == (None, 0, None, None)
    assert len(provider.asked) == 1


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["taken back", "taken over"])
async def test_an_answer_after_the_lease_was_lost_is_not_written(
    database: Database, make_desk: MakeDesk, is_taken_over: bool
) -> None:
    provider = Answering()
    desk = make_desk(provider)
    (a,) = await handed_over(database, desk)
    before: list[Any] = []

    async def late() -> Answers:
        await run_out(database)
        await rescue.rescue(database)
        if is_taken_over:
            (again,) = await batching.deal_polling(database, desk)
            assert await polling.take_up_polling(database, again, worker="worker-1", lease_seconds=60)
        before.extend([await message_rows(database), await query(database, "SELECT * FROM batch")])
        return said((a, DELIVERED))

    provider._answers = [late]
    polled = await poll_one(database, desk)

    assert (polled.state, polled.trouble) == (None, "lease lost")
    assert [await message_rows(database), await query(database, "SELECT * FROM batch")] == before
    assert await states(database) == [A]


async def test_no_session_is_held_while_a_provider_thinks(database: Database, make_desk: MakeDesk) -> None:
    seen = []

    async def look() -> Answers:
        seen.append(checked_out(database))
        return said()

    desk = make_desk(Answering(look))
    await handed_over(database, desk)
    await poll_one(database, desk)

    assert seen == [0]


async def test_a_poll_stopped_anywhere_leaves_all_or_nothing(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering()
    desk = make_desk(provider)
    found = set()

    async def make() -> Coroutine[Any, Any, object]:
        await query(database, "DELETE FROM message")
        await query(database, "DELETE FROM campaign")
        ids = await handed_over(database, desk, 2)

        async def answer() -> Answers:
            await asyncio.sleep(0)
            return said(*((each, DELIVERED) for each in ids))

        provider._answers = [answer]
        (dealt,) = await batching.deal_polling(database, desk)
        return receipts.poll_batch(database, desk, dealt)

    async def after(was_cut: bool) -> None:
        assert checked_out(database) == 0
        assert await wrong_tallies(database) == []
        await run_out(database)
        await rescue.rescue(database)
        (batch,) = await batch_rows(database)
        found.add((*await states(database), batch["state"]))

    assert await cut_everywhere(make, after) == 3  # at taking up, at the answer, at merging
    assert found == {(A, A, "tracking"), (DELIVERED, DELIVERED, "done")}
