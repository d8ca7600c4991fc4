"""Deadlines, cancelled campaigns, and how much one sweep does."""

from campaigns import aggregation, batching, reading, rescue
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.rescue import Rescue
from campaigns.store.rescue import sweep
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import MakeDesk
from tests.integration.rows import (
    batch_rows,
    bend,
    message_rows,
    pass_deadlines,
    query,
    run_out,
    states,
    wrong_tallies,
)
from tests.integration.under_lease import begin, take_up
from tests.river import phones, submit

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED
U, F, C = MessageState.UNKNOWN, MessageState.FAILED, MessageState.CANCELLED
QUIET = Rescue(0, 0, 0, 0, 0)


def accepted(position: int) -> OutcomeRow:
    return OutcomeRow([position], A, [f"id-{position}"])


# --- deadlines --------------------------------------------------------------------------------------


async def test_at_the_deadline_every_message_settles(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, phones(9))
    await begin(database, await take_up(database), *range(1, 9))
    await query(
        database,
        "UPDATE message SET state = (ARRAY['queued', 'in_doubt', 'accepted', 'sent', 'buffered',"
        " 'delivered', 'rejected', 'failed', 'unknown']::message_state[])[position + 1]",
    )
    await query(database, "UPDATE message SET reason = 'connection refused' WHERE position < 2")
    await query(database, "UPDATE message SET reason = 'as it was' WHERE position > 4")
    await run_out(database)
    await rescue.rescue(database)
    settled = (await message_rows(database))[5:]
    await pass_deadlines(database)

    assert await rescue.rescue(database) == Rescue(0, 0, 1, 4, 0)

    rows, (batch,) = await message_rows(database), await batch_rows(database)
    assert [(row["state"], row["reason"]) for row in rows[:5]] == [
        ("failed", "not handed over by the deadline: connection refused"),
        ("unknown", "no final word by the deadline: connection refused"),
        *[("unknown", "no final word by the deadline")] * 3,
    ]
    assert rows[5:] == settled
    assert (batch["state"], batch["poll_at"], batch["trouble"]) == ("done", None, "deadline passed")
    assert await wrong_tallies(database) == []
    assert await rescue.rescue(database) == QUIET
    assert len(await aggregation.finish(database)) == 1


async def test_a_campaign_of_which_nothing_was_handed_over_has_failed(database: Database) -> None:
    taken = await submit(database, phones(3))
    await pass_deadlines(database)

    assert await rescue.rescue(database) == Rescue(0, 0, 3, 0, 0)
    await aggregation.finish(database)
    assert (await reading.status(database, taken.id)).state is CampaignState.FAILED


async def test_a_deadline_waits_for_the_lease_to_end(database: Database) -> None:
    """Whoever works on a batch at that moment may still write down what it did."""
    await submit(database, phones(2))
    work = await take_up(database)
    await begin(database, work, 0)
    await pass_deadlines(database)

    assert await rescue.rescue(database) == QUIET
    state = await batches.release(
        database, work, Release(give_up_in_seconds=60), worker="worker-1", rows=[accepted(0)]
    )
    assert state is BatchState.READY
    assert await rescue.rescue(database) == QUIET  # it moved on with the hand-over
    assert await states(database) == [A, Q]


async def test_a_dead_workers_batch_past_its_deadline_is_settled_in_one_round(database: Database) -> None:
    await submit(database, phones(3))
    await begin(database, await take_up(database), 0)
    await run_out(database)
    await pass_deadlines(database)

    assert await rescue.rescue(database) == Rescue(1, 1, 2, 1, 0)
    assert await states(database) == [U, F, F]


# --- cancelled campaigns ----------------------------------------------------------------------------


async def test_a_cancelled_campaign_is_cleared_also_where_it_was_in_flight(
    database: Database, make_desk: MakeDesk
) -> None:
    """What the command could not reach, because somebody worked on it, the next rounds do."""
    taken = await submit(database, phones(6), batch_size=2)
    work = await take_up(database)
    await begin(database, work, 0)

    await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    assert await states(database) == [S, Q, C, C, C, C]
    assert await rescue.rescue(database) == QUIET
    await batches.release(database, work, Release(), worker="worker-1", rows=[accepted(0)])

    assert await rescue.rescue(database) == Rescue(0, 0, 0, 0, 1)
    assert await states(database) == [A, C, C, C, C, C]
    assert await wrong_tallies(database) == []
    assert await rescue.rescue(database) == QUIET


# --- bounds -----------------------------------------------------------------------------------------


async def test_every_round_is_bounded_and_the_next_goes_on(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(5), batch_size=1)
    await batching.deal_sending(database, make_desk())
    await run_out(database)
    leases = [(await sweep.rescue_expired(database, limit=2, most_crashes=9)).batch_count for _ in range(4)]
    await query(database, "UPDATE campaign SET state = 'cancelled'")
    cancelled = [await sweep.cancel_queued(database, limit=2, campaign_id=taken.id) for _ in range(4)]
    await bend(database, "UPDATE message SET state = 'accepted', attempt = 1")
    await bend(database, "UPDATE batch SET state = 'tracking', cancelled_count = 0, accepted_count = 1")
    await pass_deadlines(database)
    given_up = [(await sweep.give_up(database, limit=2)).unknown_count for _ in range(4)]

    assert leases == cancelled == given_up == [2, 2, 1, 0]


async def test_the_oldest_leases_and_deadlines_come_first(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, phones(3), batch_size=1)
    await batching.deal_sending(database, make_desk())
    first, second, third = await batch_rows(database)
    await query(
        database,
        "UPDATE batch SET leased_until = now() - make_interval(secs => CASE id WHEN $1 THEN 1 WHEN $2 THEN 3"
        " ELSE 2 END), give_up_at = now() - make_interval(secs => CASE id WHEN $1 THEN 2 WHEN $2 THEN 1"
        " ELSE 3 END)",
        first["id"],
        second["id"],
    )

    await sweep.rescue_expired(database, limit=1, most_crashes=9)
    assert [row["state"] for row in await batch_rows(database)] == ["leased", "ready", "leased"]
    await sweep.rescue_expired(database, limit=2, most_crashes=9)
    await sweep.give_up(database, limit=1)
    assert [row["state"] for row in await batch_rows(database)] == ["ready", "ready", "done"]
    assert third["id"] > second["id"]
