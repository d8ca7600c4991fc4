"""The recount: a tally that does not agree with its messages is noticed."""

import asyncio

from campaigns import aggregation
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.integration.sent_and_polled import send_all
from tests.river import flow, phones, submit


async def test_a_tally_that_was_tampered_with_is_noticed(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(150))
    other = await submit(database, phones(3))
    await send_all(database, make_desk())
    assert await aggregation.verify(database, taken.id) == {}

    await query(
        database,
        "UPDATE batch SET accepted_count = accepted_count - 2, delivered_count = 2"
        " WHERE campaign_id = $1 AND number = 2",
        taken.id,
    )

    assert await aggregation.verify(database, taken.id) == {
        MessageState.ACCEPTED: (148, 150),
        MessageState.DELIVERED: (2, 0),
    }
    assert await aggregation.verify(database, other.id) == {}


async def test_a_message_that_was_lost_or_changed_behind_our_back_is_noticed(database: Database) -> None:
    taken = await submit(database, phones(3))
    await query(database, "UPDATE message SET state = 'cancelled' WHERE position = 0")
    await query(database, "DELETE FROM message WHERE position = 1")

    assert await aggregation.verify(database, taken.id) == {
        MessageState.CANCELLED: (0, 1),
        MessageState.QUEUED: (3, 1),
    }


async def test_the_recount_is_right_also_while_the_campaign_runs(
    database: Database, make_desk: MakeDesk
) -> None:
    """Tallies and messages are read at one moment: what moves in between is no difference."""
    taken = await submit(database, phones(300), batch_size=3)
    running = asyncio.ensure_future(flow(database, make_desk(), taken.id))

    found = []
    while not running.done():
        found.append(await aggregation.verify(database, taken.id))

    assert (await running).state is CampaignState.FINISHED
    assert len(found) > 10
    assert [differing for differing in found if differing] == []
