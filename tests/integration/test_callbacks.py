"""Receipts of callbacks: kept as they come, merged by rank, matched also when they outrun the answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from campaigns import aggregation, batching, receipts, rescue, sending
from campaigns.domain.message_ref import message_ref
from campaigns.domain.provider import Answers, InDoubt, Receipt, Sightings, WaitForPace
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import SLOW, about, deal_one, send_one
from tests.integration.rows import batch_rows, make_due, message_rows, query, states, wrong_tallies
from tests.river import flow, phones, submit
from tests.stub import Stub

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED
SENT, UNDELIVERED, FAILED = MessageState.SENT, MessageState.UNDELIVERED, MessageState.FAILED
DELIVERED = MessageState.DELIVERED


def by_id(provider_message_id: str, evidence: MessageState, **more: Any) -> tuple[str, Receipt]:
    return "main", Receipt(provider_message_id, evidence, evidence.value.upper(), **more)


def by_ref(ref: str, evidence: MessageState | None, **more: Any) -> tuple[str, Receipt]:
    return "main", Receipt(None, evidence, "SOME WORD", message_ref=ref, **more)


async def waiting(database: Database) -> list[dict[str, Any]]:
    return await query(database, "SELECT * FROM waiting_receipt ORDER BY id")


async def refs(database: Database) -> list[str]:
    rows = await query(
        database,
        "SELECT b.campaign_id, b.number, m.position FROM message m JOIN batch b ON b.id = m.batch_id"
        " ORDER BY m.batch_id, m.position",
    )
    return [message_ref(row["campaign_id"], row["number"], row["position"]) for row in rows]


async def merge_all(database: Database, desk: Any) -> None:
    await query(database, "UPDATE waiting_receipt SET look_at = now()")
    while (await receipts.merge_waiting(database, desk)).receipt_count:
        continue


async def test_a_callback_is_merged_and_ends_its_campaign(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main"))
    made = await submit(database, phones(2))
    await send_one(database, desk)
    ids = [row["provider_message_id"] for row in await message_rows(database)]

    await receipts.take_in_many(database, [by_id(ids[0], SENT), by_id(ids[1], DELIVERED)])
    assert len(await waiting(database)) == 2  # durable, before anything is done about them
    assert await receipts.are_waiting(database)
    await merge_all(database, desk)
    assert await states(database) == [SENT, DELIVERED]
    await receipts.take_in_many(database, [by_id(ids[0], DELIVERED), by_id(ids[0], SENT)])  # out of order
    await merge_all(database, desk)

    assert await states(database) == [DELIVERED, DELIVERED]
    assert [row["provider_state"] for row in await message_rows(database)] == ["DELIVERED"] * 2
    assert [row["state"] for row in await batch_rows(database)] == ["done"]
    assert await aggregation.finish(database) == [made.id]
    assert await waiting(database) == []
    assert await wrong_tallies(database) == []


async def test_a_callback_that_outruns_the_answer_waits_for_its_message(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(Stub("main"))
    await submit(database, phones(1))
    (ref,) = await refs(database)
    await receipts.take_in_many(database, [by_id(f"stub-{ref}", DELIVERED)])
    assert (await receipts.merge_waiting(database, desk)).waiting_count == 1
    (row,) = await waiting(database)
    assert row["look_at"] > row["received_at"]
    assert not await receipts.are_waiting(database)  # looked at again later, not all the time

    await send_one(database, desk)
    await merge_all(database, desk)
    assert await states(database) == [DELIVERED]
    assert await waiting(database) == []


async def test_a_callback_in_the_middle_of_its_own_hand_over(database: Database, make_desk: MakeDesk) -> None:
    async def called_back_at_once() -> None:
        assert await states(database) == [S]
        await receipts.take_in_many(database, [by_ref(stub.ledger[0].message.message_ref, DELIVERED)])
        await merge_all(database, desk)

    stub = Stub("main", before_answer=called_back_at_once)
    desk = make_desk(stub)
    await submit(database, phones(1))
    verdict = await send_one(database, desk)

    assert verdict.state is BatchState.DONE
    (row,) = await message_rows(database)
    assert (row["state"], row["provider_message_id"]) == (
        "delivered",
        f"stub-{stub.ledger[0].message.message_ref}",
    )
    assert await wrong_tallies(database) == []


async def test_a_callback_by_our_reference_settles_doubt(database: Database, make_desk: MakeDesk) -> None:
    rows = phones(3)
    stub = Stub("main", outcomes={row["phone"]: [InDoubt("cut")] for row in rows})
    desk = make_desk(stub)
    await submit(database, rows)
    await send_one(database, desk)
    first, second, third = await refs(database)

    await receipts.take_in_many(
        database,
        [
            by_ref(first, SENT),
            ("main", Receipt("theirs-2", SENT, "SENT", message_ref=second)),
            by_ref(third, None),  # a word we do not know
        ],
    )
    await merge_all(database, desk)

    assert await states(database) == [SENT, SENT, D]
    ids = [row["provider_message_id"] for row in await message_rows(database)]
    assert ids == [None, "theirs-2", None]
    assert await wrong_tallies(database) == []

    # What learned its id from a callback is found by it from then on.
    await receipts.take_in_many(database, [by_id("theirs-2", DELIVERED)])
    await merge_all(database, desk)
    assert await states(database) == [SENT, DELIVERED, D]


@pytest.mark.parametrize(
    "stranger",
    [
        ("main", Receipt("nobody's", DELIVERED, "DELIVERED")),
        ("main", Receipt(None, DELIVERED, "DELIVERED", message_ref="0" * 32 + "-1-0")),
    ],
    ids=["id", "reference"],
)
async def test_somebody_elses_callback_changes_nothing_and_is_dropped_in_the_end(
    database: Database, make_desk: MakeDesk, stranger: tuple[str, Receipt]
) -> None:
    desk = make_desk(Stub("main"))
    await submit(database, phones(1))
    await send_one(database, desk)
    before = await message_rows(database), await batch_rows(database)

    await receipts.take_in_many(database, [stranger])
    await receipts.merge_waiting(database, desk)
    assert await message_rows(database) == before[0]
    assert len(await waiting(database)) == 1
    await query(
        database,
        "UPDATE waiting_receipt SET look_at = now(), received_at = now() - interval '2 hours'",
    )
    merged = await receipts.merge_waiting(database, desk)
    assert (merged.dropped_count, await waiting(database)) == (1, [])


async def test_another_account_s_callback_changes_nothing(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(accounts={"main": Stub("main"), "other": Stub("other")})
    await submit(database, phones(1))
    await send_one(database, desk)
    (ref,) = await refs(database)
    said = Receipt(None, DELIVERED, "DELIVERED", message_ref=ref)
    await receipts.take_in_many(
        database, [("other", said), ("other", Receipt(f"stub-{ref}", DELIVERED, "DELIVERED"))]
    )
    await receipts.merge_waiting(database, desk)
    assert await states(database) == [A]


async def test_what_names_nobody_or_cannot_be_stored_is_not_kept(database: Database) -> None:
    await receipts.take_in_many(
        database,
        [
            ("main", Receipt(None, DELIVERED, "DELIVERED")),
            ("main", Receipt("", DELIVERED, "DELIVERED")),
            ("main", Receipt("x" * 129, DELIVERED, "DELIVERED")),
            ("main", Receipt("nul\x00", DELIVERED, "DELIVERED")),
            ("main", Receipt(None, DELIVERED, "DELIVERED", message_ref="no reference of ours")),
        ],
    )
    assert await waiting(database) == []
    await receipts.take_in_many(database, [("main", Receipt("id", None, "wo\x00rd\ud800" * 30))])
    (row,) = await waiting(database)
    assert row["provider_state"] == ("word" * 30)[:64]


async def test_twenty_tasks_at_once_merge_each_receipt_once(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main"))
    await submit(database, phones(60), batch_size=10)
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
    ids = [row["provider_message_id"] for row in await message_rows(database)]
    words = [SENT, DELIVERED, A, SENT]
    await receipts.take_in_many(database, [by_id(each, word) for word in words for each in ids])

    await asyncio.gather(*(receipts.merge_waiting(database, desk) for _ in range(20)))
    await merge_all(database, desk)
    assert set(await states(database)) == {DELIVERED}
    assert {row["state"] for row in await batch_rows(database)} == {"done"}
    assert await wrong_tallies(database) == []


# --- coarse words ---


class Asked(Stub):
    """Answers questions as told."""

    def __init__(self, *answers: Answers) -> None:
        super().__init__("main")
        self._answers = list(answers)
        self.questions: list[list[str]] = []

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        self.questions.append(list(provider_message_ids))
        return self._answers.pop(0)


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (MessageState.EXPIRED, MessageState.EXPIRED),
        (FAILED, FAILED),
        (SENT, UNDELIVERED),  # not settled: no finer word
        (None, UNDELIVERED),
    ],
)
async def test_a_coarse_word_is_refined_by_asking(
    database: Database, make_desk: MakeDesk, answer: MessageState | None, ends: MessageState
) -> None:
    await submit(database, phones(1))
    (ref,) = await refs(database)
    said = [] if answer is None else [Receipt(f"stub-{ref}", answer, str(answer))]
    desk = make_desk(stub := Asked(*[Answers(said, None if answer else "HTTP 500")] * 3))
    await send_one(database, desk)
    coarse = [by_ref(ref, UNDELIVERED, is_coarse=True)] * 2  # one of them waits, beside what is exact
    await receipts.take_in_many(database, [by_ref(ref, SENT), *coarse])
    assert len(await waiting(database)) == 2
    for _ in range(3):
        await query(database, "UPDATE waiting_receipt SET look_at = now()")
        await receipts.merge_waiting(database, desk)
    is_finer = answer in {MessageState.EXPIRED, FAILED}
    assert (await states(database), stub.questions) == ([ends], [[f"stub-{ref}"]] * (1 if is_finer else 3))
    assert await waiting(database) == []


async def test_a_coarse_word_waits_for_the_pace_to_ask_but_not_for_ever(
    database: Database, make_desk: MakeDesk
) -> None:
    await submit(database, phones(1))
    (ref,) = await refs(database)
    stub = Asked(*[Answers([], None, 5.0)] * 3)
    desk = make_desk(stub)
    await send_one(database, desk)
    await receipts.take_in_many(database, [by_ref(ref, UNDELIVERED, is_coarse=True)])
    for _ in range(3):
        assert await states(database) == [A]
        await query(database, "UPDATE waiting_receipt SET look_at = now()")
        await receipts.merge_waiting(database, desk)
    assert (await states(database), len(stub.questions)) == ([UNDELIVERED], 3)


async def test_a_coarse_word_on_a_message_without_their_id_counts_as_it_is(
    database: Database, make_desk: MakeDesk
) -> None:
    (row,) = rows = phones(1)
    desk = make_desk(Stub("main", outcomes={row["phone"]: [InDoubt("cut")]}))
    await submit(database, rows)
    await send_one(database, desk)
    (ref,) = await refs(database)
    await receipts.take_in_many(database, [by_ref(ref, UNDELIVERED, is_coarse=True)])
    await merge_all(database, desk)
    assert await states(database) == [UNDELIVERED]


# --- doubt settled by asking ---


async def test_doubt_is_settled_by_asking_and_only_what_is_not_there_is_sent_again(
    database: Database, make_desk: MakeDesk
) -> None:
    rows = phones(4)

    class Forgetful(Stub):
        """Loses the request of the last two before it takes it; the answer is not seen for any."""

        async def hand_over(self, request: Any, sender_id: str, leave_by: float) -> Any:
            outcomes = await super().hand_over(request, sender_id, leave_by)
            if len(request) == 4:
                del self.ledger[2:]
                return [InDoubt("cut")] * len(request)
            return outcomes

    stub = Forgetful("main", settles_doubt_after_seconds=0)
    desk = make_desk(stub)
    made = await submit(database, rows)
    await send_one(database, desk)
    assert await states(database) == [D] * 4

    overview = await flow(database, desk, made.id)
    assert overview.finished_at is not None
    assert await states(database) == [DELIVERED] * 4
    assert sorted(line.message.phone for line in stub.ledger) == sorted(row["phone"] for row in rows)
    assert [row["attempt"] for row in await message_rows(database)] == [1, 1, 2, 2]
    assert await wrong_tallies(database) == []


async def test_nothing_found_is_not_believed_too_soon(database: Database, make_desk: MakeDesk) -> None:
    (row,) = rows = phones(1)

    class Empty(Stub):
        looked_up = 0

        async def look_up(self, doubtful: Any, wait_for_pace: WaitForPace) -> Sightings:
            self.looked_up += 1
            return Sightings(absent=[each.message_ref for each in doubtful])

    stub = Empty("main", settles_doubt_after_seconds=600, outcomes={row["phone"]: [InDoubt("cut")]})
    desk = make_desk(stub, policy=SLOW)
    await submit(database, rows, policy=SLOW)
    await send_one(database, desk)
    await make_due(database)
    await _poll(database, desk)
    assert (stub.looked_up, await states(database)) == (0, [D])
    (batch,) = await batch_rows(database)
    assert batch["poll_in"] == about(600)  # and not forgotten

    await query(database, "UPDATE message SET updated_at = now() - interval '11 minutes'")
    await make_due(database)
    await _poll(database, desk)
    assert (stub.looked_up, await states(database)) == (1, [Q])
    assert (await deal_one(database, desk)).batch_id == batch["id"]


async def test_what_is_neither_taken_nor_refused_is_not_sent_for_ever(
    database: Database, make_desk: MakeDesk
) -> None:
    (row,) = rows = phones(1)

    class Hole(Stub):
        async def look_up(self, doubtful: Any, wait_for_pace: WaitForPace) -> Sightings:
            return Sightings(absent=[each.message_ref for each in doubtful])

    stub = Hole("main", settles_doubt_after_seconds=0, outcomes={row["phone"]: [InDoubt("HTTP 400")] * 9})
    made = await submit(database, rows)
    await flow(database, make_desk(stub), made.id)
    assert (await states(database), len(stub.ledger)) == ([D], 5)


@pytest.mark.parametrize(
    "vain",
    [Sightings(trouble="HTTP 500"), Sightings(), Sightings(retry_after_seconds=3)],
    ids=["trouble", "silence", "later"],
)
async def test_a_look_up_in_vain_settles_nothing(
    database: Database, make_desk: MakeDesk, vain: Sightings
) -> None:
    (row,) = rows = phones(1)

    class Vain(Stub):
        async def look_up(self, doubtful: Any, wait_for_pace: WaitForPace) -> Sightings:
            return vain

    stub = Vain("main", settles_doubt_after_seconds=0, outcomes={row["phone"]: [InDoubt("cut")]})
    desk = make_desk(stub)
    await submit(database, rows)
    await send_one(database, desk)
    await make_due(database)
    await _poll(database, desk)
    assert await states(database) == [D]
    (batch,) = await batch_rows(database)
    assert batch["poll_at"] is not None


async def test_who_cannot_be_asked_is_not_polled_for_doubt(database: Database, make_desk: MakeDesk) -> None:
    (row,) = rows = phones(1)
    desk = make_desk(Stub("main", outcomes={row["phone"]: [InDoubt("cut")]}))
    await submit(database, rows)
    await send_one(database, desk)
    (batch,) = await batch_rows(database)
    assert (batch["state"], batch["poll_at"]) == ("tracking", None)
    await rescue.rescue(database)
    assert await states(database) == [D]


async def _poll(database: Database, desk: Any) -> None:
    (dealt,) = await batching.deal_polling(database, desk)
    await receipts.poll_batch(database, desk, dealt)
