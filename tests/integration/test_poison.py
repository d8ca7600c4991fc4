"""One that cannot be stored stops none beside it, and is set aside where a person finds it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from campaigns import aggregation, aside, batching, receipts
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, Answers, Receipt, WaitForPace
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import make_due, message_rows, query, states, wrong_tallies
from tests.integration.telling import make
from tests.integration.test_callbacks import by_id, by_ref, merge_all, refs, waiting
from tests.river import phones, submit
from tests.stub import Stub
from worker.cli.doctor import work

A, D, SENT = MessageState.ACCEPTED, MessageState.IN_DOUBT, MessageState.SENT
DELIVERED, FAILED, UNDELIVERED = MessageState.DELIVERED, MessageState.FAILED, MessageState.UNDELIVERED


async def forbid(database: Database, condition: str) -> None:
    """There will be a next such CHECK: here it is."""
    await query(database, f"ALTER TABLE message ADD CONSTRAINT message_poison_check CHECK ({condition})")


async def sent(database: Database, desk: Desk, count: int) -> list[str]:
    await submit(database, phones(count))
    await send_one(database, desk)
    return await refs(database)


async def test_a_receipt_for_what_never_left_is_a_strangers(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main"))
    named = await sent(database, desk, 1)
    await submit(database, phones(1, first=1))
    await query(
        database, "UPDATE message SET state = 'failed' WHERE state = 'queued'"
    )  # its deadline passed before anybody handed it over
    await query(database, "UPDATE batch SET queued_count = 0, failed_count = 1 WHERE queued_count = 1")
    never_left = (await refs(database))[1]
    await receipts.take_in_many(database, [by_ref(never_left, DELIVERED), by_ref(named[0], DELIVERED)])

    merged = await receipts.merge_waiting(database, desk)

    assert (merged.receipt_count, merged.waiting_count, merged.set_aside_count) == (2, 1, 0)
    assert await states(database) == [DELIVERED, FAILED]
    await query(
        database,
        "UPDATE waiting_receipt SET look_at = now(), received_at = now() - make_interval(secs => $1)",
        desk.policy.give_up_seconds,
    )
    assert (await receipts.merge_waiting(database, desk)).dropped_count == 1
    assert await waiting(database) == []


async def test_what_cannot_be_merged_is_set_aside_and_the_others_are_merged(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(Stub("main"))
    named = await sent(database, desk, 40)
    await forbid(database, "provider_state <> 'POISON'")
    bad = {3, 17, 39}
    await receipts.take_in_many(
        database,
        [
            ("main", Receipt(None, DELIVERED, "POISON" if at in bad else "DELIVERED", message_ref=ref))
            for at, ref in enumerate(named)
        ],
    )

    merged = await receipts.merge_waiting(database, desk)

    assert (merged.receipt_count, merged.set_aside_count) == (40, 3)
    assert await states(database) == [A if at in bad else DELIVERED for at in range(40)]
    assert await wrong_tallies(database) == []
    found = await aside.receipts(database)
    assert [each.message_ref for each in found] == [named[at] for at in sorted(bad)]
    assert {each.reason for each in found} == {
        "PostgreSQL refuses it: CheckViolationError (message_poison_check)"
    }
    assert len(found) == 3
    assert not await receipts.are_waiting(database)  # nobody looks at them again
    assert (await receipts.merge_waiting(database, desk)).receipt_count == 0

    assert await aside.drop_receipts(database, [found[0].id, found[0].id + 10**6]) == [found[0].id]
    assert await aside.retry_receipts(database, [found[1].id]) == [found[1].id]
    await receipts.merge_waiting(database, desk)
    assert len(await aside.receipts(database)) == 2  # it still cannot be merged
    await query(database, "ALTER TABLE message DROP CONSTRAINT message_poison_check")
    await aside.retry_receipts(database, [found[1].id, found[2].id])
    await receipts.merge_waiting(database, desk)
    assert (await states(database))[17] is (await states(database))[39] is DELIVERED
    assert await waiting(database) == []


async def test_an_error_that_names_no_receipt_sets_none_aside(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(Stub("main"))
    (ref,) = await sent(database, desk, 1)
    await receipts.take_in_many(database, [by_ref(ref, DELIVERED)])
    await query(database, "ALTER FUNCTION merge_evidence RENAME TO gone")
    with pytest.raises(DatabaseUnavailable, match="merge_evidence"):
        await receipts.merge_waiting(database, desk)
    assert await aside.receipts(database) == []


async def test_one_id_for_very_many_messages_is_no_id(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main", outcomes={row["phone"]: [Accepted("same")] for row in phones(20)}))
    await submit(database, phones(20))
    await send_one(database, desk)
    await query(
        database,
        "INSERT INTO message_by_provider_id (batch_id, position, provider_message_id)"
        " SELECT 10000000 + n, 0, 'same' FROM generate_series(1, 100000) n",
    )
    await submit(database, phones(1, first=50))
    await send_one(database, desk)
    other = (await message_rows(database))[-1]["provider_message_id"]
    await receipts.take_in_many(database, [by_id("same", DELIVERED), by_id(other, DELIVERED)])

    merged = await receipts.merge_waiting(database, desk)

    assert (merged.receipt_count, merged.set_aside_count) == (2, 1)
    assert await states(database) == [A] * 20 + [DELIVERED]
    (found,) = await aside.receipts(database)
    assert found.reason == "its provider gave one id to more than 10 messages"


async def test_only_so_many_are_set_aside(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.store.receipts.aside._MOST_OF_ACCOUNT", 2)
    desk = make_desk(Stub("main"))
    named = await sent(database, desk, 5)
    await forbid(database, "provider_state <> 'SOME WORD'")
    await receipts.take_in_many(database, [by_ref(ref, DELIVERED) for ref in named])
    merged = await receipts.merge_waiting(database, desk)
    assert (merged.set_aside_count, merged.dropped_count) == (5, 3)
    assert len(await waiting(database)) == 2


async def test_an_event_that_cannot_be_written_undoes_nothing_and_is_told_later(
    database: Database, make_desk: MakeDesk
) -> None:
    """Its trigger is in the transaction of the messages themselves, and of those of other campaigns."""
    await make(database, "https://receiver.example/hook", "message.settled", "campaign.finished")
    desk = make_desk(Stub("main"))
    named = await sent(database, desk, 3)
    (poisoned,) = await query(database, "SELECT id, owner FROM campaign")
    named += (await sent(database, desk, 5))[3:]
    of_it = f"CHECK (campaign_id <> '{poisoned['id']}')"
    await query(database, f"ALTER TABLE webhook_event ADD CONSTRAINT event_poison_check {of_it}")
    await receipts.take_in_many(database, [by_ref(ref, DELIVERED) for ref in named])

    merged = await receipts.merge_waiting(database, desk)
    for campaign in await query(database, "SELECT id FROM campaign"):
        await aggregation.finish(database, campaign["id"])

    assert (merged.receipt_count, merged.set_aside_count) == (8, 0)
    assert await states(database) == [DELIVERED] * 8
    assert await wrong_tallies(database) == []
    found = await aside.events(database)
    assert [(each.campaign_id, each.type) for each in found] == [
        (poisoned["id"], "message.settled"),
        (poisoned["id"], "campaign.finished"),
    ]
    assert {each.reason for each in found} == {"PostgreSQL refuses it: event_poison_check"}
    told = "SELECT type, at FROM webhook_event ORDER BY id"
    assert [each["type"] for each in await query(database, told)] == ["message.settled", "campaign.finished"]
    (finding,) = await work.events_set_aside(database)
    assert finding.status == "FAIL"
    assert finding.sentence.startswith("2 event(s), the oldest since ")

    ids = [each.id for each in found]
    assert await aside.retry_events(database, ids) == ids
    again = await aside.events(database)
    assert [each.happened_at for each in again] == [each.happened_at for each in found]
    await query(database, "ALTER TABLE webhook_event DROP CONSTRAINT event_poison_check")
    await aside.retry_events(database, [each.id for each in again])
    assert [each["at"] for each in await query(database, told)][2:] == [each.happened_at for each in found]
    assert await aside.events(database) == []


# --- hand-overs and polls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "ends", "reason"),
    [
        ("cost <> 666", A, None),  # known without what cannot be stored
        ("provider_message_id <> 'id-3'", D, "its answer cannot be stored: PostgreSQL refuses it: "),
    ],
)
async def test_one_bad_answer_puts_no_other_in_doubt(
    database: Database, make_desk: MakeDesk, condition: str, ends: MessageState, reason: str | None
) -> None:
    rows = phones(10)
    outcomes = {
        row["phone"]: [Accepted(f"id-{at}", Decimal(666 if at == 3 else at))] for at, row in enumerate(rows)
    }
    desk = make_desk(Stub("main", outcomes=outcomes, max_recipients_per_request=5))
    await submit(database, rows)
    await forbid(database, condition)
    verdict = await send_one(database, desk)
    assert verdict.state is BatchState.TRACKING
    assert await states(database) == [ends if at == 3 else A for at in range(10)]
    found = await message_rows(database)
    assert (found[3]["reason"] or "").startswith(reason or "")
    assert found[3]["cost"] is None
    assert [row["cost"] for row in found if row["position"] != 3] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert await wrong_tallies(database) == []


class Words(Stub):
    """Says SENT of all, with what is given beside it of the message at `position`."""

    def __init__(self, position: int, **beside: Any) -> None:
        super().__init__("main")
        self._position = position
        self._beside = beside

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        return Answers(
            [
                Receipt(each, SENT, "SENT", **(self._beside if each.endswith(f"-{self._position}") else {}))
                for each in provider_message_ids
            ]
        )


@pytest.mark.parametrize(
    ("condition", "ends"),
    [("channel <> 'RCS'", SENT), ("channel <> 'RCS' AND NOT (position = 3 AND state = 'sent')", A)],
)
async def test_one_bad_word_of_a_poll_keeps_no_other_back(
    database: Database, make_desk: MakeDesk, condition: str, ends: MessageState
) -> None:
    desk = make_desk(Words(3, channel="RCS"))
    await sent(database, desk, 10)
    await make_due(database)
    await forbid(database, condition)
    (dealt,) = await batching.deal_polling(database, desk)
    polled = await receipts.poll_batch(database, desk, dealt)
    assert polled.state is BatchState.TRACKING
    assert await states(database) == [ends if at == 3 else SENT for at in range(10)]
    (batch,) = await query(database, "SELECT trouble FROM batch")
    assert (batch["trouble"] is None) == (ends is SENT)


# --- questions about receipts -----------------------------------------------------------------------


class Asked(Stub):
    """Notes what it is asked, and has no finer word."""

    def __init__(self) -> None:
        super().__init__("main")
        self.asked: list[str] = []

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        await wait_for_pace()
        self.asked += provider_message_ids
        return Answers([])


async def test_the_address_of_one_message_buys_few_questions_and_only_about_it(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Asked()
    desk = make_desk(stub)
    (ref,) = await sent(database, desk, 1)
    for at in range(200):
        evil = Receipt(f"evil{at}", UNDELIVERED, "UNDELIVERABLE", message_ref=ref, is_coarse=True)
        await receipts.take_in_many(database, [("main", evil)])
        if at % 20 == 0:
            await merge_all(database, desk)
    assert len(await waiting(database)) <= 1
    for _ in range(6):
        await merge_all(database, desk)
    assert set(stub.asked) == {f"stub-{ref}"}
    assert len(stub.asked) <= 3
    assert await states(database) == [UNDELIVERED]  # nobody knew it more exactly


async def test_made_up_ids_buy_no_question(database: Database, make_desk: MakeDesk) -> None:
    stub = Asked()
    desk = make_desk(stub)
    await sent(database, desk, 1)
    made_up = [by_id(f"evil{at}", UNDELIVERED, is_coarse=True) for at in range(200)]
    await receipts.take_in_many(database, made_up)
    for _ in range(5):
        await merge_all(database, desk)
    assert stub.asked == []
    assert len(await waiting(database)) == 200  # strangers, until their time


async def test_of_many_coarse_receipts_some_are_asked_for_at_a_time(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Asked()
    desk = make_desk(stub)
    named = await sent(database, desk, 60)
    await receipts.take_in_many(database, [by_ref(ref, UNDELIVERED, is_coarse=True) for ref in named])
    await receipts.merge_waiting(database, desk)
    assert len(stub.asked) == 20
    await receipts.merge_waiting(database, desk)
    assert len(set(stub.asked)) == 40
