"""Polling where a question is about one message: each is asked once a cycle, whoever takes the batch up."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from campaigns import batching, reading, receipts, sending
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, Answers, PaceUsedUp, Receipt, WaitForPace
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import SLOW, about, send_one
from tests.integration.rows import batch_rows, make_due, query, wrong_tallies
from tests.river import lines, phones, submit
from tests.stub import Stub
from worker import shapes
from worker.cli import display

SENT, DELIVERED = MessageState.SENT, MessageState.DELIVERED


class OneByOne(Stub):
    """Has so many slots a series; each message is `word` when it is asked."""

    def __init__(self, slots: int, word: MessageState = SENT) -> None:
        super().__init__("main")
        self.slots = slots
        self.word = word
        self.trouble: str | None = None
        self.asked: list[str] = []

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        now = provider_message_ids[: self.slots]
        self.asked += now
        said = [Receipt(each, self.word, self.word.value) for each in now]
        left = provider_message_ids[self.slots :]
        wait = 0.2 if left and self.trouble is None else None
        return Answers(said, self.trouble, wait, left)


async def handed_over(database: Database, desk: Desk, count: int) -> None:
    await submit(database, phones(count))
    await send_one(database, desk)
    await make_due(database)


async def poll_one(database: Database, desk: Desk) -> receipts.Polled:
    (dealt,) = await batching.deal_polling(database, desk)
    return await receipts.poll_batch(database, desk, dealt)


async def test_each_is_asked_once_in_a_cycle_and_backoff_counts_the_cycle(
    database: Database, make_desk: MakeDesk
) -> None:
    provider = OneByOne(4)
    desks = [make_desk(provider, policy=SLOW), replace(make_desk(provider, policy=SLOW), worker="another")]
    await handed_over(database, desks[0], 10)

    for nth in range(3):
        (batch,) = await batch_rows(database)
        assert (batch["poll_count"], batch["poll_in"] <= 0) == (0, True), "due at once, and no poll"
        await poll_one(database, desks[nth % 2])

    assert len(provider.asked) == len(set(provider.asked)) == 10
    (batch,) = await batch_rows(database)
    assert (batch["poll_count"], batch["poll_in"], batch["asked_positions"]) == (1, about(2_000), None)
    await make_due(database)
    await poll_one(database, desks[0])
    assert provider.asked[10:] != [], "and then anew"


async def test_a_batch_keeps_its_rank_among_the_due_until_its_cycle_is_over(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(OneByOne(4), policy=SLOW)
    await handed_over(database, desk, 10)
    await query(database, "UPDATE batch SET poll_at = now() - interval '5 minutes'")

    await poll_one(database, desk)

    (batch,) = await batch_rows(database)
    assert batch["poll_in"] == pytest.approx(-300, abs=20)


async def test_a_cycle_ends_with_those_that_are_still_open(database: Database, make_desk: MakeDesk) -> None:
    """What a callback settled meanwhile needs no question, and nobody is asked twice for it."""
    provider = OneByOne(4)
    desk = make_desk(provider, policy=SLOW)
    await handed_over(database, desk, 6)
    await poll_one(database, desk)
    await query(database, "UPDATE message SET state = 'delivered' WHERE state = 'accepted'")

    await poll_one(database, desk)

    assert len(provider.asked) == 4
    (batch,) = await batch_rows(database)
    assert (batch["poll_count"], batch["poll_in"], batch["asked_positions"]) == (1, about(2_000), None)
    assert await wrong_tallies(database) == []


async def test_trouble_in_the_middle_of_a_cycle_does_not_put_off_those_who_were_not_asked(
    database: Database, make_desk: MakeDesk
) -> None:
    provider = OneByOne(4)
    provider.trouble = "HTTP 500"
    desk = make_desk(provider, policy=SLOW)
    await handed_over(database, desk, 10)

    polled = await poll_one(database, desk)

    (batch,) = await batch_rows(database)
    assert (batch["poll_count"], batch["poll_in"], polled.trouble) == (0, about(1_000), "HTTP 500")


async def test_what_is_settled_ends_a_batch_in_the_middle_of_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(OneByOne(4, DELIVERED), policy=SLOW)
    await handed_over(database, desk, 8)

    assert (await poll_one(database, desk)).state is BatchState.TRACKING
    assert (await poll_one(database, desk)).state is BatchState.DONE


async def test_an_ending_process_begins_no_question(database: Database, make_desk: MakeDesk) -> None:
    class Waiting(OneByOne):
        async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
            with pytest.raises(PaceUsedUp):
                await wait_for_pace()
            return Answers([], None, 0.0, provider_message_ids)

    desk = replace(make_desk(Waiting(4), policy=SLOW), is_stopping=lambda: True)
    await handed_over(database, make_desk(policy=SLOW), 2)

    assert (await poll_one(database, desk)).asked_count == 0


async def test_status_says_when_statuses_lag(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(OneByOne(4), policy=SLOW)
    await handed_over(database, desk, 10)
    (overview,) = await reading.newest(database)
    assert shapes.Campaign.of(overview).public()["status_lag"] is None
    await query(database, "UPDATE batch SET poll_at = now() - interval '12 minutes 5 seconds'")

    await poll_one(database, desk)

    (overview,) = await reading.newest(database)
    lag = shapes.Campaign.of(overview).public()["status_lag"]
    assert (lag["waiting_count"], lag["open_count"]) == (6, 10)
    assert overview.status_lag is not None
    sentence = display._lag(overview.status_lag, overview.created_at)
    assert sentence.startswith("statuses lag: 6 of 10 open messages are due to be asked about")


async def test_an_id_of_two_messages_is_nobodys_and_is_said(database: Database, make_desk: MakeDesk) -> None:
    """A provider that gives one id twice, in two answers: its status cannot be either's, nor silence."""
    first, second, third = (row["phone"] for row in phones(3))
    stub = Stub(
        "main",
        max_recipients_per_request=1,
        outcomes={first: [Accepted("stub-x")], second: [Accepted("stub-x")]},
    )
    desk = make_desk(stub)
    taken = await submit(database, phones(3))
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
    (dealt,) = await batching.deal_polling(database, desk)
    polled = await receipts.poll_batch(database, desk, dealt)
    assert polled.trouble is not None
    assert polled.trouble.startswith("2 messages bear ids of the provider's that others bear too")
    status = await reading.status(database, taken.id)
    assert (status.totals[MessageState.ACCEPTED], status.totals[MessageState.DELIVERED]) == (2, 1)
    assert third not in {
        line["phone"] for line in await lines(database, taken.id) if line["state"] == "accepted"
    }
