"""A message's timeline: each thing that became of it, when, and how we learned it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from campaigns import batching, reading, receipts, rescue
from campaigns.domain.provider import Accepted, InDoubt, NotSent, Receipt
from campaigns.domain.states import MessageState
from campaigns.domain.timeline import CONTINUED, LONGEST_TIMELINE, SOURCE_CODES, STATE_CODES, Source, Step
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import make_due, pass_deadlines, query, run_out
from tests.integration.under_lease import begin, take_up
from tests.river import flow, phones, submit
from tests.stub import Stub

(ROW,) = phones(1)
PHONE = ROW["phone"]
UNSURE = InDoubt("cut before the answer was whole")


async def timeline(database: Database) -> list[Step]:
    (message,) = await reading.messages(database, by="phone", value=PHONE)
    moments = [step.at for step in message.steps]
    assert moments == sorted(moments)
    assert abs(moments[-1] - datetime.now(UTC)) < timedelta(minutes=5)
    return [*message.steps]


async def told(database: Database) -> list[str]:
    """Its timeline, a line a step: source, state and what else is said."""
    return [
        " ".join(
            str(each)
            for each in (step.source, step.state, step.attempt, step.provider_state, step.provider_message_id)
            if each is not None
        )
        for step in await timeline(database)
    ]


async def call_back(database: Database, make_desk: MakeDesk, word: str, **more: object) -> None:
    said = Receipt("abc-1", MessageState(word.lower()), word, **more)  # type: ignore[arg-type]  # by name
    await receipts.take_in_many(database, [("main", said)])
    while (await receipts.merge_waiting(database, make_desk(Stub("main")))).receipt_count:
        continue


async def test_from_submission_to_what_its_provider_says_last(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main", outcomes={PHONE: [Accepted("abc-1")]}, states={PHONE: ["sent"]})
    await submit(database, [ROW], currency="EUR")
    assert await told(database) == ["submission queued"]
    desk = make_desk(stub)
    await send_one(database, desk)
    await make_due(database)
    for dealt in await batching.deal_polling(database, desk):
        await receipts.poll_batch(database, desk, dealt)
    until_then = [
        "submission queued",
        "hand_over sending 1",
        "answer accepted abc-1",
        "poll sent sent",
    ]
    assert await told(database) == until_then

    before = datetime.now(UTC)
    await call_back(database, make_desk, "DELIVERED")
    assert await told(database) == [*until_then, "callback delivered DELIVERED"]
    assert (await timeline(database))[-1].at >= before - timedelta(seconds=1)
    await call_back(database, make_desk, "DELIVERED")
    await call_back(database, make_desk, "SENT")
    await call_back(database, make_desk, "DELIVERED", cost=Decimal("0.05"))
    assert len(await told(database)) == len(until_then) + 1, "what changes nothing, and a price, is no step"


async def test_what_came_by_callback_was_learned_when_it_came(
    database: Database, make_desk: MakeDesk
) -> None:
    await submit(database, [ROW])
    await send_one(database, make_desk(Stub("main", outcomes={PHONE: [Accepted("abc-1")]})))
    await receipts.take_in_many(database, [("main", Receipt("abc-1", MessageState.DELIVERED, "OK"))])
    (row,) = await query(
        database,
        "UPDATE waiting_receipt SET received_at = now() + interval '2 minutes' RETURNING received_at",
    )
    await receipts.merge_waiting(database, make_desk(Stub("main")))
    assert abs((await timeline(database))[-1].at - row["received_at"]) < timedelta(milliseconds=1)


async def test_doubt_that_is_settled_by_asking(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes={PHONE: [UNSURE]}, settles_doubt_after_seconds=0)
    taken = await submit(database, [ROW])
    await flow(database, make_desk(stub), taken.id, rounds=2)
    found = await told(database)
    assert found[:3] == ["submission queued", "hand_over sending 1", "answer in_doubt"]
    assert found[3] == "look_up accepted accepted"


@pytest.mark.parametrize(
    ("decision", "step"), [("resend", "person queued"), ("assume_sent", "person unknown")]
)
async def test_what_a_person_decides(
    database: Database, make_desk: MakeDesk, decision: rescue.Decision, step: str
) -> None:
    stub = Stub("main", outcomes={PHONE: [UNSURE]})
    taken = await submit(database, [ROW])
    await flow(database, make_desk(stub), taken.id, rounds=2)
    await rescue.resolve(database, POLICY, taken.id, decision, raw_phone=None, region=None, operator="ona")
    assert (await told(database))[3:] == [step]
    if decision == "resend":
        await flow(database, make_desk(stub), taken.id, rounds=1)
        assert (await told(database))[4] == "hand_over sending 2"


async def test_a_worker_that_ended_and_a_deadline(database: Database) -> None:
    await submit(database, [ROW])
    assert await begin(database, await take_up(database), 0)
    assert (await told(database))[1:] == ["hand_over sending 1"]
    await run_out(database)
    await rescue.rescue(database)
    assert (await told(database))[1:] == ["hand_over sending 1", "rescue in_doubt"]
    await pass_deadlines(database)
    await rescue.rescue(database)
    assert (await told(database))[3:] == ["rule unknown"]


async def test_a_request_that_never_left(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes={PHONE: [NotSent("refused")]})
    taken = await submit(database, [ROW])
    await flow(database, make_desk(stub), taken.id, rounds=1)
    assert (await told(database))[1:] == ["hand_over sending 1", "answer queued"]


async def test_it_is_bounded_and_the_newest_steps_stay(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, [ROW])
    step = int(datetime.now(UTC).timestamp() * 1000).to_bytes(6) + bytes([5, 7])
    word = b"".join(bytes([CONTINUED]) + letters for letters in [b"x" * 7] * 8 + [b"x" * 4 + b"\0" * 3])
    await query(database, "UPDATE campaign SET created_at = now() - interval '1 second'")
    await query(database, "UPDATE message SET timeline = $1", ((step + word) * 20)[-LONGEST_TIMELINE:])
    await send_one(database, make_desk(Stub("main", outcomes={PHONE: [Accepted("abc-1")]})))
    found = await told(database)
    assert found[-2:] == ["hand_over sending 1", "answer accepted abc-1"]
    assert {*found[1:-2]} == {f"poll sent {'x' * 60}"}
    (row,) = await query(database, "SELECT length(timeline) AS n FROM message")
    assert row["n"] == LONGEST_TIMELINE


async def test_a_message_that_was_handed_over_before_there_were_timelines(
    database: Database, make_desk: MakeDesk
) -> None:
    """Or by a worker of the release before: it has what is known."""
    taken = await submit(database, [ROW])
    await flow(database, make_desk(Stub("main")), taken.id)
    await query(database, "UPDATE message SET timeline = NULL")
    assert await told(database) == ["submission queued"]


async def test_a_number_that_was_suppressed_before_it_left(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, [ROW])
    await query(database, "INSERT INTO suppression (phone, reason) VALUES ($1, 'asked us to')", PHONE)
    await send_one(database, make_desk(Stub("main")))
    assert await told(database) == ["submission queued", "hand_over suppressed"]
    taken = await submit(database, [*phones(1), *phones(1, first=1)], submission_key="again")
    await query(database, "DELETE FROM batch WHERE campaign_id <> $1", taken.id)
    assert await told(database) == ["submission suppressed"]


async def test_a_status_word_in_any_script_is_kept_whole(database: Database, make_desk: MakeDesk) -> None:
    for said, kept in (("Išsiųsta 📨 2/7", None), ("7letter", None), ("ž" * 65, "ž" * 64)):
        await query(database, "TRUNCATE campaign CASCADE")
        await submit(database, [ROW], submission_key=said)
        await send_one(database, make_desk(Stub("main", outcomes={PHONE: [Accepted("abc-1")]})))
        receipt = Receipt("abc-1", MessageState.DELIVERED, said)
        await receipts.take_in_many(database, [("main", receipt)])
        while (await receipts.merge_waiting(database, make_desk(Stub("main")))).receipt_count:
            continue
        assert (await told(database))[-1] == f"callback delivered {kept or said}"


def test_states_and_sources_are_all_kept_by_numbers_of_their_own() -> None:
    assert {*STATE_CODES} == {*MessageState}
    assert {*SOURCE_CODES} == {*Source} - {Source.SUBMISSION}
    for codes in (STATE_CODES.values(), SOURCE_CODES.values()):
        assert sorted({*codes}) == list(range(1, len(codes) + 1))
