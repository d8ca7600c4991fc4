"""What is told to webhooks: what happened, in the order in which it happened, to those who may hear it."""

from datetime import datetime

from campaigns import aggregation, holding
from campaigns.domain.circuit import NewHold
from campaigns.domain.states import CampaignState
from campaigns.store.holding import accounts
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.webhooks.receiver import Receiver, receiving
from tests.integration.rows import query
from tests.integration.telling import SECRET, change, hold_campaign, make
from tests.river import flow, phones, submit
from worker.webhooks.delivering import Deliverer


async def test_a_campaign_tells_its_life_in_order(
    database: Database, make_desk: MakeDesk, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url)
    taken = await submit(database, phones(250), name="Spring")
    await aggregation.change_state(database, taken.id, CampaignState.PAUSED)
    await aggregation.change_state(database, taken.id, CampaignState.RUNNING)
    await flow(database, make_desk(), taken.id)
    await deliverer.deliver()

    events = receiver.events(SECRET)
    assert [each["type"] for each in events] == [
        "campaign.accepted",
        "campaign.paused",
        "campaign.resumed",
        "campaign.finished",
    ]
    first, last = events[0]["data"], events[-1]["data"]
    assert (first["state"], first["totals"]["queued"], first["totals"]["delivered"]) == ("accepted", 250, 0)
    assert (last["state"], last["totals"]["queued"], last["totals"]["delivered"]) == ("finished", 0, 250)
    assert {key: last[key] for key in ("campaign_id", "name", "account", "recipient_count", "link")} == {
        "campaign_id": str(taken.id),
        "name": "Spring",
        "account": "main",
        "recipient_count": 250,
        "link": f"/v1/campaigns/{taken.id}",
    }
    assert datetime.fromisoformat(events[0]["timestamp"]).tzinfo is not None
    assert len({each.id for each in receiver.seen}) == 4


async def test_a_name_of_others_arrives_whole_and_commands_nothing(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    """A receiver that logs the raw body to a terminal shows letters alone."""
    name = "=1+1 \x1b[2J \x9b31m \u202e a\r\n\n{} <script>"
    await make(database, receiver.url, "campaign.paused")
    taken = await submit(database, phones(1))
    await change(database, "UPDATE campaign SET name = $1", name)  # no check of ours lets it in
    await aggregation.change_state(database, taken.id, CampaignState.PAUSED)
    await deliverer.deliver()
    (event,) = receiver.events(SECRET)
    assert event["data"]["name"] == name
    assert receiver.seen[0].body.isascii()
    assert receiver.seen[0].body.isprintable()


async def test_cancelled_and_failed_and_started(
    database: Database, make_desk: MakeDesk, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url)
    cancelled = await submit(database, phones(3))
    await aggregation.change_state(database, cancelled.id, CampaignState.CANCELLED)
    started = await submit(database, phones(3))
    await flow(database, make_desk(), started.id)
    await deliverer.deliver()

    of = [
        (each["data"]["campaign_id"], each["type"], each["data"]["state"]) for each in receiver.events(SECRET)
    ]
    assert [each[1:] for each in of if each[0] == str(cancelled.id)] == [
        ("campaign.accepted", "accepted"),
        ("campaign.cancelled", "cancelled"),
        ("campaign.finished", "cancelled"),
    ]
    assert [each[1] for each in of if each[0] == str(started.id)] == [
        "campaign.accepted",
        "campaign.started",
        "campaign.finished",
    ]


async def test_holds_are_told_with_their_reason_and_once_when_they_end(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url, "campaign.held", "campaign.resumed", "account.held", "account.resumed")
    taken = await submit(database, phones(1))
    for pauses in (False, True):
        await hold_campaign(database, taken.id)
        if pauses:
            await aggregation.change_state(database, taken.id, CampaignState.PAUSED)
        await holding.resume_campaign(database, taken.id, operator="eve")
    await accounts.hold(database, "main", NewHold("no_money", "there is no money", 60))
    await holding.resume_account(database, "main")
    await deliverer.deliver()

    told = [(each["type"], each["data"].get("hold")) for each in receiver.events(SECRET)]
    text = {"about": "text", "code": "13", "reason": "the text is refused"}
    assert [each for each in told if each[0].startswith("campaign.")] == [
        *(("campaign.held", text), ("campaign.resumed", None)),
        *(("campaign.held", text), ("campaign.resumed", None)),
    ]
    assert [each for each in told if each[0].startswith("account.")] == [
        ("account.held", {"code": "no_money", "reason": "there is no money"}),
        ("account.resumed", None),
    ]


async def test_settled_messages_come_by_reference_and_with_numbers_only_where_asked(
    database: Database, make_desk: MakeDesk, receiver: Receiver, deliverer: Deliverer
) -> None:
    async with receiving() as with_numbers:
        await make(database, receiver.url, "message.settled")
        await make(database, with_numbers.url, "message.settled", with_numbers=True)
        numbers = phones(150)
        taken = await submit(database, numbers)
        await flow(database, make_desk(), taken.id)
        await deliverer.deliver()

        groups = [each["data"]["messages"] for each in receiver.events(SECRET)]
        assert {len(group) for group in groups} == {100, 50}
        settled = {each["reference"]: each for group in groups for each in group}
        assert len(settled) == 150
        assert {each["state"] for each in settled.values()} == {"delivered"}
        assert {tuple(each) for each in settled.values()} == {("reference", "state")}
        assert all(len(each.body) < 20_000 for each in (*receiver.seen, *with_numbers.seen))
        told = {each["phone"] for event in with_numbers.events(SECRET) for each in event["data"]["messages"]}
        assert told == {row["phone"] for row in numbers}
    stored = await query(database, "SELECT data::text AS data FROM webhook_event")
    assert not any(row["phone"] in each["data"] for row in numbers for each in stored)


async def test_an_owner_hears_of_its_own_and_nothing_is_written_where_nobody_hears(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    await submit(database, phones(1))
    assert await query(database, "SELECT id FROM webhook_event") == []
    await make(database, receiver.url, owner="shop")
    await submit(database, phones(1))
    await accounts.hold(database, "main", NewHold("no_money", "there is no money", 60))
    assert await query(database, "SELECT id FROM webhook_event") == []

    own = await submit(database, phones(1))
    await change(database, "UPDATE campaign SET owner = 'shop' WHERE id = $1", own.id)
    await aggregation.change_state(database, own.id, CampaignState.PAUSED)
    await holding.resume_account(database, "main")
    await deliverer.deliver()
    assert [each["type"] for each in receiver.events(SECRET)] == ["campaign.paused", "account.resumed"]


async def test_what_is_rolled_back_is_not_told(database: Database) -> None:
    await make(database, "https://example.com/")
    await submit(database, phones(1))
    await change(
        database,
        "DO $$ BEGIN UPDATE campaign SET state = 'paused';"
        " RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
    )
    told = await query(database, "SELECT type FROM webhook_event")
    assert [each["type"] for each in told] == ["campaign.accepted"]
