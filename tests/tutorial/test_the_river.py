"""The river, told in a dozen tests. Read from top to bottom; each docstring is what you would say aloud.

submission -> batching -> sending -> provider <-> receipts -> aggregation
                             ^ rescue
"""

from decimal import Decimal

import pytest

from campaigns import aggregation, batching, reading, receipts, rescue, sending
from campaigns.domain.errors import SubmissionError
from campaigns.domain.provider import Accepted, InDoubt, NotSent, Rejected
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.river import flow, lines, phones, submit
from tests.stub import Stub


async def test_a_campaign_is_taken_in_and_runs_to_its_end(database: Database, make_desk: MakeDesk) -> None:
    """You submit recipients and a text; in the end every message is settled and you know who got it."""
    taken = await submit(database, phones(250), text="Hello")

    overview = await flow(database, make_desk(), taken.id)

    assert overview.state is CampaignState.FINISHED
    assert overview.totals[MessageState.DELIVERED] == 250


async def test_each_recipient_gets_a_text_of_their_own(database: Database, make_desk: MakeDesk) -> None:
    """Columns of your file fill the {placeholders} of the text."""
    stub = Stub("main")
    taken = await submit(
        database,
        [{"phone": "+37060000001", "name": "Ona"}, {"phone": "+37060000002", "name": "Jonas"}],
        text="Hello {name}",
    )

    await flow(database, make_desk(stub), taken.id)

    assert {line.message.text for line in stub.ledger} == {"Hello Ona", "Hello Jonas"}


async def test_bad_rows_are_named_and_the_others_are_sent(database: Database) -> None:
    """A number that cannot be right is refused with its row and reason; a number given twice is sent once."""
    taken = await submit(database, [{"phone": "+37060000001"}, {"phone": "12"}, {"phone": "+370 600 00001"}])

    assert taken.recipient_count == 1
    assert dict(taken.refused) == {"duplicate": 1, "no_region": 1}
    assert await reading.refusals(database, taken.id) == [(3, "no_region"), (4, "duplicate")]


async def test_a_doubtful_submission_stores_nothing(database: Database) -> None:
    """A text that asks for a column the file does not have is an error, before anything is stored."""
    with pytest.raises(SubmissionError, match="name"):
        await submit(database, phones(3), text="Hello {name}")

    assert await reading.newest(database) == []


async def test_the_same_submission_key_is_the_same_campaign(database: Database) -> None:
    """Submit again after a timeout, with the same key: you get the campaign you have, not a second one."""
    first = await submit(database, phones(3), submission_key="spring")
    again = await submit(database, phones(3), submission_key="spring")

    assert (again.id, again.created) == (first.id, False)


async def test_recipients_are_cut_into_batches_of_at_most_a_hundred(
    database: Database, make_desk: MakeDesk
) -> None:
    """A batch is one task: dealt out once, to whoever takes it up first."""
    await submit(database, phones(250))
    desk = make_desk()

    dealt = await batching.deal_sending(database, desk)
    assert len(dealt) == 3
    assert await batching.deal_sending(database, desk) == []


async def test_a_second_run_of_the_same_task_does_nothing(database: Database, make_desk: MakeDesk) -> None:
    """Tasks may be repeated or late: the lease makes every run after the first a no-op."""
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(3))
    (dealt,) = await batching.deal_sending(database, desk)

    await sending.send_batch(database, desk, dealt)
    again = await sending.send_batch(database, desk, dealt)

    assert again.state is None
    assert len(stub.ledger) == 3


async def test_what_certainly_did_not_leave_is_tried_again(database: Database, make_desk: MakeDesk) -> None:
    """A refused connection costs time and nothing else."""
    phone = "+37060000001"
    stub = Stub("main", outcomes={phone: [NotSent("connection refused")]})
    taken = await submit(database, [{"phone": phone}])

    overview = await flow(database, make_desk(stub), taken.id)

    assert overview.totals[MessageState.DELIVERED] == 1
    (line,) = await lines(database, taken.id)
    assert line["attempt"] == 2


async def test_what_may_have_left_is_in_doubt_and_never_sent_again(
    database: Database, make_desk: MakeDesk
) -> None:
    """No answer after the request left: neither sent nor unsent. It is shown so, and not repeated."""
    phone = "+37060000001"
    stub = Stub("main", outcomes={phone: [InDoubt("no answer within 20 s")]})
    taken = await submit(database, [{"phone": phone}])

    overview = await flow(database, make_desk(stub), taken.id, rounds=5)

    assert overview.totals[MessageState.IN_DOUBT] == 1
    assert overview.state is CampaignState.RUNNING
    assert len(stub.ledger) == 1


async def test_a_refusal_is_final_and_keeps_the_providers_word(
    database: Database, make_desk: MakeDesk
) -> None:
    """What the provider refuses is settled at once, with its code beside our state."""
    phone = "+37060000001"
    stub = Stub("main", outcomes={phone: [Rejected("13", "phone in the blacklist")]})
    taken = await submit(database, [{"phone": phone}])

    await flow(database, make_desk(stub), taken.id)

    (line,) = await lines(database, taken.id)
    assert (line["state"], line["provider_state"], line["reason"]) == (
        "rejected",
        "13",
        "phone in the blacklist",
    )


async def test_polling_asks_until_every_message_is_settled(database: Database, make_desk: MakeDesk) -> None:
    """The provider's words are merged by rank: a late `sent` never undoes `delivered`."""
    phone = "+37060000001"
    stub = Stub("main", states={phone: ["accepted", "sent", "delivered"]})
    desk = make_desk(stub)
    await submit(database, [{"phone": phone}])
    (to_send,) = await batching.deal_sending(database, desk)
    await sending.send_batch(database, desk, to_send)

    states = []
    while dealt := await batching.deal_polling(database, desk):
        states.append((await receipts.poll_batch(database, desk, dealt[0])).state)

    assert states == [BatchState.TRACKING, BatchState.TRACKING, BatchState.DONE]


async def test_rescue_brings_back_what_a_dead_worker_left(database: Database, make_desk: MakeDesk) -> None:
    """A task that was lost before it began costs its lease's time, and then the batch is dealt again."""
    desk = make_desk()
    await submit(database, phones(3))
    await batching.deal_sending(database, desk)  # …and the task is never run
    async with database.connection() as connection:
        await connection.execute("UPDATE batch SET leased_until = now() - interval '1 second'")

    assert (await rescue.rescue(database)).lease_count == 1
    assert len(await batching.deal_sending(database, desk)) == 1


async def test_the_totals_always_add_up(database: Database, make_desk: MakeDesk) -> None:
    """Totals, cost and segments are sums over batches, and agree with a recount of the messages."""
    price = Decimal("0.0144")
    rows = phones(150)
    stub = Stub("main", outcomes={row["phone"]: [Accepted(f"id-{row['phone']}", price, 1)] for row in rows})
    taken = await submit(database, rows)

    overview = await flow(database, make_desk(stub), taken.id, rounds=1)

    assert [(cost.amount, cost.message_count) for cost in overview.costs] == [(price * 150, 150)]
    assert overview.segment_count == 150
    assert sum(overview.totals.values()) == overview.recipient_count
    assert await aggregation.verify(database, taken.id) == {}
