"""Pausing, resuming and cancelling a campaign."""

from uuid import uuid4

import pytest

from campaigns import aggregation, batching, reading, rescue, sending
from campaigns.domain.errors import NotAllowed, NotFound
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.river import flow, phones, submit
from tests.stub import Stub

# --- pausing and cancelling -------------------------------------------------------------------------


async def test_pause_and_resume_say_whether_they_changed_anything(database: Database) -> None:
    campaign_id = (await submit(database, phones(2))).id

    async def move(target: CampaignState) -> tuple[bool, CampaignState]:
        changed = await aggregation.change_state(database, campaign_id, target)
        return changed, (await reading.status(database, campaign_id)).state

    assert await move(CampaignState.PAUSED) == (True, CampaignState.PAUSED)
    assert await move(CampaignState.PAUSED) == (False, CampaignState.PAUSED)
    assert await move(CampaignState.RUNNING) == (True, CampaignState.RUNNING)
    assert await move(CampaignState.RUNNING) == (False, CampaignState.RUNNING)
    assert await move(CampaignState.CANCELLED) == (True, CampaignState.CANCELLED)
    assert await move(CampaignState.CANCELLED) == (False, CampaignState.CANCELLED)


async def test_what_is_over_or_unknown_cannot_be_moved(database: Database, make_desk: MakeDesk) -> None:
    finished = await submit(database, phones(1))
    await flow(database, make_desk(), finished.id)
    cancelled = await submit(database, phones(1))
    await aggregation.change_state(database, cancelled.id, CampaignState.CANCELLED)

    for campaign_id, before, targets in (
        (finished.id, "finished", (CampaignState.PAUSED, CampaignState.RUNNING, CampaignState.CANCELLED)),
        (cancelled.id, "cancelled", (CampaignState.PAUSED, CampaignState.RUNNING)),
    ):
        for target in targets:
            with pytest.raises(NotAllowed, match=f"is {before}; it cannot become {target}"):
                await aggregation.change_state(database, campaign_id, target)
        assert (await reading.status(database, campaign_id)).state.value == before
    for work in (
        aggregation.change_state(database, uuid4(), CampaignState.PAUSED),
        aggregation.verify(database, uuid4()),
    ):
        with pytest.raises(NotFound, match="there is no campaign"):
            await work


async def test_three_thousand_queued_messages_are_cancelled_at_once(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    taken = await submit(database, phones(3000), batch_size=10)  # more batches than one round takes

    assert await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)

    overview = await reading.status(database, taken.id)
    assert overview.totals[MessageState.CANCELLED] == 3000
    assert (overview.state, overview.finished_at is None) == (CampaignState.CANCELLED, False)
    assert await aggregation.verify(database, taken.id) == {}
    assert (await flow(database, make_desk(stub), taken.id)).totals == overview.totals
    assert stub.ledger == []


async def test_a_batch_under_lease_is_cancelled_when_its_worker_gives_it_back(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    desk = make_desk(stub, in_flight=1)
    taken = await submit(database, phones(3000))
    other = await submit(database, phones(1), account="strange")
    (dealt,) = await batching.deal_sending(database, desk)

    await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    overview = await reading.status(database, taken.id)
    assert (overview.totals[MessageState.CANCELLED], overview.totals[MessageState.QUEUED]) == (2900, 100)
    assert overview.finished_at is None

    await sending.send_batch(database, desk, dealt)  # late: the campaign is cancelled meanwhile
    assert stub.ledger == []
    assert (await rescue.rescue(database)).cancelled_batch_count == 1
    assert await aggregation.finish(database) == [taken.id]
    overview = await reading.status(database, taken.id)
    assert (overview.state, overview.totals[MessageState.CANCELLED]) == (CampaignState.CANCELLED, 3000)
    assert (await reading.status(database, other.id)).totals[MessageState.QUEUED] == 1, "nobody else's"


async def test_what_is_on_its_way_when_a_campaign_is_cancelled_is_followed_to_its_end(
    database: Database, make_desk: MakeDesk
) -> None:
    """Cancelled while the first of three requests is being answered: the other two never leave."""
    cancelled = []

    async def cancel() -> None:
        cancelled.append(await aggregation.change_state(database, taken.id, CampaignState.CANCELLED))

    stub = Stub("main", max_recipients_per_request=10, before_answer=cancel)
    desk = make_desk(stub)
    taken = await submit(database, phones(30))

    overview = await flow(database, desk, taken.id)

    assert cancelled == [True]
    assert len(stub.ledger) == 10
    assert overview.state is CampaignState.CANCELLED
    assert overview.finished_at is not None
    assert {state: count for state, count in overview.totals.items() if count} == {
        MessageState.CANCELLED: 20,
        MessageState.DELIVERED: 10,
    }


# --- the export -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["accepted", "running", "paused"])
async def test_a_campaign_can_be_cancelled_whatever_it_does(database: Database, state: str) -> None:
    taken = await submit(database, phones(2))
    await query(database, "UPDATE campaign SET state = $1", state)

    assert await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)

    over = await reading.status(database, taken.id)
    assert (over.state, over.totals[MessageState.CANCELLED]) == (CampaignState.CANCELLED, 2)
    assert over.finished_at is not None
