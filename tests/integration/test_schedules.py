"""From when and until when a campaign may be handed over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns import aggregation, batching, reading, rescue, sending
from campaigns.domain.errors import NotAllowed, SubmissionError, SubmissionKeyConflict
from campaigns.domain.policy import Desk
from campaigns.domain.provider import InDoubt
from campaigns.domain.schedule import Schedule
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.rows import query, wrong_tallies
from tests.river import flow, lines, phones, submit
from tests.stub import Stub
from worker import shapes

HOUR = timedelta(hours=1)


def ahead(span: timedelta) -> datetime:
    return datetime.now(UTC) + span


async def shift(database: Database, column: str, span: timedelta) -> None:
    """Let a campaign's moment come: the database's clock decides, and nobody sets it."""
    await query(database, f"UPDATE campaign SET {column} = now() + $1", span)  # noqa: S608  the test's own
    if column == "send_at":
        await query(database, "UPDATE batch SET send_at = now() + $1", span)


async def batch(database: Database, columns: str) -> tuple[Any, ...]:
    (row,) = await query(database, f"SELECT {columns} FROM batch")  # noqa: S608  the test's own
    return tuple(row.values())


async def test_nothing_is_handed_over_before_its_time(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    desk = make_desk(stub)
    taken = await submit(database, phones(3), schedule=Schedule(ahead(HOUR)))
    waiting = await flow(database, desk, taken.id, rounds=3)
    assert stub.ledger == []
    assert (waiting.state, waiting.is_waiting) == (CampaignState.ACCEPTED, True)
    assert shapes.Campaign.of(waiting).public()["waits_for"] == "send_at"
    # The deadline counts from the time to send.
    (seconds,) = await batch(database, "extract(epoch FROM give_up_at - send_at)::int")
    assert seconds == POLICY.give_up_seconds

    await shift(database, "send_at", -timedelta(seconds=1))
    assert (await flow(database, desk, taken.id)).state is CampaignState.FINISHED
    assert len(stub.ledger) == 3


async def test_a_start_that_has_passed_is_now(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(1), schedule=Schedule(ahead(-HOUR)))
    (late,) = await batch(database, "give_up_at < now() + make_interval(secs => 3590)")
    assert not late
    assert (await flow(database, make_desk(), taken.id)).state is CampaignState.FINISHED


async def test_what_is_left_at_not_after_expires_by_us(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    taken = await submit(database, phones(3), schedule=Schedule(None, ahead(HOUR)))
    await shift(database, "not_after", -timedelta(seconds=1))
    over = await flow(database, make_desk(stub), taken.id)
    assert stub.ledger == []
    # Not one message reached the provider.
    assert (over.state, over.totals[MessageState.EXPIRED]) == (CampaignState.FAILED, 3)
    assert {line["reason"] for line in await lines(database, taken.id)} == {
        "not handed over by the campaign's not_after"
    }
    assert await wrong_tallies(database) == []
    assert (await aggregation.verify(database, taken.id)) == {}


async def test_the_intent_is_not_written_after_not_after(database: Database, make_desk: MakeDesk) -> None:
    """A task that was dealt in time and comes late: what decides is the moment it would leave."""
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(2), schedule=Schedule(None, ahead(HOUR)))
    (dealt,) = await batching.deal_sending(database, desk)
    await shift(database, "not_after", -timedelta(seconds=1))
    await sending.send_batch(database, desk, dealt)
    assert stub.ledger == []
    assert (await rescue.rescue(database)).expired_count == 2


async def in_doubt(database: Database, desk: Desk, **more: Any) -> Any:
    taken = await submit(database, phones(1), schedule=Schedule(None, ahead(HOUR)), **more)
    (dealt,) = await batching.deal_sending(database, desk)
    await sending.send_batch(database, desk, dealt)
    await shift(database, "not_after", -timedelta(seconds=1))
    return taken.id


async def test_doubt_is_not_sent_again_after_not_after(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes={phones(1)[0]["phone"]: [InDoubt("cut")]})
    desk = make_desk(stub)
    campaign_id = await in_doubt(database, desk, on_doubt="resend")
    await query(database, "UPDATE message SET updated_at = now() - interval '1 day'")
    assert await rescue.resend(database, desk.policy) == 0
    with pytest.raises(NotAllowed, match="past its not_after"):
        await rescue.resolve(
            database, desk.policy, campaign_id, "resend", raw_phone=None, region=None, operator="ops"
        )
    assert len(stub.ledger) == 1


async def test_not_after_goes_with_each_message(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    until = ahead(HOUR)
    taken = await submit(database, phones(1), schedule=Schedule(None, until))
    await flow(database, make_desk(stub), taken.id)
    assert [line.message.valid_until for line in stub.ledger] == [until]


async def test_a_campaign_is_rescheduled(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    desk = make_desk(stub)
    taken = await submit(database, phones(2))
    moved = await batching.reschedule(database, POLICY, taken.id, Schedule(ahead(HOUR), ahead(2 * HOUR)))
    assert moved == 2
    assert (await flow(database, desk, taken.id, rounds=2)).is_waiting
    (seconds,) = await batch(database, "extract(epoch FROM give_up_at - send_at)::int")
    assert seconds == POLICY.give_up_seconds
    # Sooner again; what was said of the end stays.
    await batching.reschedule(database, POLICY, taken.id, Schedule())
    over = await flow(database, desk, taken.id)
    assert over.state is CampaignState.FINISHED
    assert over.not_after is not None
    with pytest.raises(NotAllowed, match="is finished; it cannot be rescheduled"):
        await batching.reschedule(database, POLICY, taken.id, Schedule(ahead(HOUR)))


async def test_what_was_handed_over_keeps_its_deadline(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main", outcomes={phones(1)[0]["phone"]: [InDoubt("cut")]}))
    taken = await submit(database, phones(2), batch_size=2)
    (dealt,) = await batching.deal_sending(database, desk)
    await sending.send_batch(database, desk, dealt)
    await query(database, "UPDATE message SET state = 'queued' WHERE state = 'in_doubt'")
    await query(
        database,
        "UPDATE batch SET in_doubt_count = 0, queued_count = 1, state = 'ready',"
        " give_up_at = now() + interval '10 days'",
    )
    await batching.reschedule(database, POLICY, taken.id, Schedule(ahead(HOUR)))
    (is_kept,) = await batch(database, "give_up_at > now() + interval '9 days'")
    assert is_kept


async def test_a_schedule_is_part_of_what_was_submitted(database: Database) -> None:
    at = ahead(HOUR)
    first = await submit(database, phones(1), submission_key="k", schedule=Schedule(at))
    assert (await submit(database, phones(1), submission_key="k", schedule=Schedule(at))).id == first.id
    with pytest.raises(SubmissionKeyConflict):
        await submit(database, phones(1), submission_key="k", schedule=Schedule(at + HOUR))


async def test_a_schedule_that_cannot_be_meant_stores_nothing(database: Database) -> None:
    with pytest.raises(SubmissionError, match="not_after has passed"):
        await submit(database, phones(1), schedule=Schedule(None, ahead(-HOUR)))
    assert await reading.newest(database) == []
