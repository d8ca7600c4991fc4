"""How campaigns go over time: when a point is kept, how many, and what webhooks hear of it."""

from itertools import pairwise
from uuid import UUID

import pytest

from campaigns import aggregation, reading
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store import progress
from campaigns.store.progress import MOST_POINTS, POINT_SECONDS, Point
from campaigns.store.session import Database
from tests.conftest import MakeDesk, open_database
from tests.contract.webhooks.receiver import Receiver
from tests.integration.rows import query
from tests.integration.sent_and_polled import send_all
from tests.integration.telling import SECRET, change, make
from tests.river import flow, phones, submit
from worker.webhooks.delivering import Deliverer


async def pass_time(database: Database, seconds: float) -> None:
    """All points, and all that was told, were so many seconds earlier."""
    for table in ("campaign_progress", "webhook_event"):
        await change(database, f"UPDATE {table} SET at = at - make_interval(secs => $1)", seconds)  # noqa: S608  our own words


async def charge(database: Database) -> None:
    """Something of every campaign changes."""
    await change(database, "UPDATE batch SET cost = cost + 1")


async def points(database: Database, campaign_id: UUID) -> list[Point]:
    found = await reading.progress(database, campaign_id)
    assert [each.at for each in found] == sorted(each.at for each in found)
    return found


def counts(point: Point) -> dict[MessageState, int]:
    return {state: count for state, count in point.totals.items() if count}


async def test_a_point_is_kept_when_totals_changed_and_its_time_has_come(
    database: Database, make_desk: MakeDesk
) -> None:
    taken = await submit(database, phones(250))
    assert await progress.note(database) == 1
    await send_all(database, make_desk())
    assert await progress.note(database) == 0, "not yet"
    await pass_time(database, POINT_SECONDS)
    assert await progress.note(database) == 1
    await pass_time(database, POINT_SECONDS)
    assert await progress.note(database) == 0, "nothing changed"

    first, second = await points(database, taken.id)
    assert counts(first) == {MessageState.QUEUED: 250}
    assert counts(second) == {MessageState.ACCEPTED: 250}


async def test_its_last_point_is_that_of_its_end_and_follows_what_comes_late(
    database: Database, make_desk: MakeDesk
) -> None:
    taken = await submit(database, phones(3))
    await progress.note(database)
    overview = await flow(database, make_desk(), taken.id)
    await progress.note(database)
    await aggregation.sum_up(database)
    first, last = await points(database, taken.id)
    assert (counts(first), counts(last)) == ({MessageState.QUEUED: 3}, {MessageState.DELIVERED: 3})
    assert last.at == overview.finished_at

    await change(database, "UPDATE campaign SET totals = NULL")  # as a late receipt has it done
    await charge(database)
    await aggregation.sum_up(database)
    _, changed = await points(database, taken.id)
    assert (changed.at, changed.cost) == (last.at, last.cost + 1)


@pytest.mark.parametrize("distance", [10, 640], ids=["an hour", "three days"])
async def test_when_there_are_many_every_second_one_goes_and_their_distance_doubles(
    database: Database, distance: int
) -> None:
    taken = await submit(database, phones(1))
    await change(database, "UPDATE campaign SET state = 'running'")
    await change(
        database,
        "INSERT INTO campaign_progress (campaign_id, at, totals, cost)"
        " SELECT $1, now() - make_interval(secs => $2 * ($3 - n)), '{}', n FROM generate_series(0, $3 - 1) n",
        taken.id,
        distance,
        MOST_POINTS - 1,
    )
    await charge(database)
    assert await progress.note(database) == 1
    found = await points(database, taken.id)
    assert len(found) == MOST_POINTS / 2 + 1
    assert found[0].cost == 0, "the first stays"
    gaps = [round((later.at - earlier.at).total_seconds()) for earlier, later in pairwise(found)]
    assert {*gaps[:-1]} == {2 * distance}

    await charge(database)
    await pass_time(database, 1.5 * distance)
    assert await progress.note(database) == 0
    await pass_time(database, 0.5 * distance)
    assert await progress.note(database) == 1


async def test_two_who_note_at_once_make_one_point(database: Database, database_url: str) -> None:
    taken = await submit(database, phones(1))
    other = open_database(database_url)
    try:
        async with other.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", progress._NOTERS)
            assert await progress.note(database) == 0
        assert await progress.note(database) == 1
    finally:
        await other.close()
    assert len(await points(database, taken.id)) == 1


async def test_webhooks_hear_of_progress_once_a_minute_at_most(
    database: Database, make_desk: MakeDesk, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url, "campaign.progress", "campaign.finished", owner="shop")
    taken = await submit(database, phones(3), owner="shop")
    await submit(database, phones(3), owner="clinic")
    await progress.note(database)
    await aggregation.change_state(database, taken.id, CampaignState.RUNNING)
    await progress.note(database)
    await send_all(database, make_desk())
    await pass_time(database, 59)
    await progress.note(database)
    assert len(await query(database, "SELECT id FROM webhook_event")) == 1
    await pass_time(database, 1)
    await progress.note(database)
    await charge(database)
    await pass_time(database, 60)
    await progress.note(database)  # its totals have not changed: a cost is none
    await flow(database, make_desk(), taken.id)
    await progress.note(database)
    await deliverer.deliver()

    events = receiver.events(SECRET)
    assert [each["type"] for each in events] == [*["campaign.progress"] * 2, "campaign.finished"]
    assert {each["data"]["campaign_id"] for each in events} == {str(taken.id)}
    assert [each["data"]["totals"]["accepted"] for each in events] == [0, 3, 0]
    assert events[1]["data"]["state"] == "running"
