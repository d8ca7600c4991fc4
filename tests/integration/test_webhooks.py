"""What happens is told to webhooks: in order, at least once, one webhook never at the cost of another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from campaigns import aggregation, holding, outbox
from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import NotFound
from campaigns.domain.provider import CampaignTrouble
from campaigns.domain.states import CampaignState
from campaigns.domain.webhooks import EventType, chosen_events
from campaigns.store.holding import accounts
from campaigns.store.holding import campaigns as campaign_hold
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.webhooks.receiver import Receiver, receiving
from tests.integration.rows import query
from tests.river import flow, phones, submit
from tests.waiting import until
from worker.settings.safety import read_networks
from worker.webhooks import signing
from worker.webhooks.delivering import Deliverer
from worker.webhooks.requests import Requests

SECRET = signing.new_secret()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def deliverer(database: Database) -> AsyncIterator[Deliverer]:
    requests = Requests(read_networks("127.0.0.0/8"), most=32)
    yield Deliverer(database, requests)
    await requests.close()


async def make(database: Database, url: str, *events: str, **more: Any) -> UUID:
    wanted: dict[str, Any] = {"owner": None, "with_numbers": False, "secret": SECRET} | more
    return await outbox.create(database, url=url, event_types=chosen_events(events), **wanted)


async def change(database: Database, statement: str, *values: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *values)


# --- what is told ------------------------------------------------------------------------------------


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
    trouble = CampaignTrouble(about="text", code="13", reason="the text is refused")
    for pauses in (False, True):
        await campaign_hold.hold(
            database,
            taken.id,
            trouble,
            sender_id="Demo",
            known_for_seconds=0,
            if_nothing_taken=False,
            if_never_resumed=False,
        )
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


# --- how it is delivered -------------------------------------------------------------------------------


async def test_two_at_once_at_most_and_one_of_a_campaign(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url)
    ids = [(await submit(database, phones(1, first=n))).id for n in range(6)]
    for campaign_id in ids:
        await aggregation.change_state(database, campaign_id, CampaignState.PAUSED)
    now: list[str] = []

    async def slow(received: Any) -> None:
        campaign_id = received.verified(SECRET)["data"]["campaign_id"]
        assert campaign_id not in now
        now.append(campaign_id)
        await asyncio.sleep(0.02)
        now.remove(campaign_id)

    receiver.before = slow
    others = Deliverer(database, deliverer._requests)  # another process
    await asyncio.gather(deliverer.deliver(), others.deliver())
    assert receiver.most_at_once == 2
    events = receiver.events(SECRET)
    assert len(events) == 12
    for campaign_id in ids:
        own = [each["type"] for each in events if each["data"]["campaign_id"] == str(campaign_id)]
        assert own == ["campaign.accepted", "campaign.paused"]


async def test_a_receiver_that_hangs_costs_the_others_nothing(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    gate = asyncio.Event()
    async with receiving() as hanging:
        hanging.before = lambda _: gate.wait()  # type: ignore[assignment,return-value]  what it gives is ignored
        await make(database, hanging.url)
        await make(database, receiver.url)
        for n in range(5):
            await submit(database, phones(1, first=n))
        delivering = asyncio.create_task(deliverer.deliver())
        await until(lambda: len(receiver.seen) == 5, "the other hears all")
        await submit(database, phones(1, first=9))
        await until(lambda: len(receiver.seen) == 6, "also of what happens meanwhile")
        assert len(hanging.seen) == 2
        gate.set()
        await delivering
        assert len(hanging.seen) == 6


async def test_a_webhook_that_fails_is_tried_with_one_at_a_time_and_hears_all_in_order(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answer = lambda: web.Response(status=500, text="x" * 5000)
    webhook_id = await make(database, receiver.url)
    taken = await submit(database, phones(1))
    await aggregation.change_state(database, taken.id, CampaignState.PAUSED)
    await deliverer.deliver()
    await deliverer.deliver()
    assert len(receiver.seen) == 1, "it rests, and so does its queue"
    webhook, told = await outbox.show(database, webhook_id)
    assert webhook.failing_since is not None
    assert webhook.waiting_count == 2
    assert told[-1].status == 500
    assert told[-1].trouble == "it answered 500"
    assert told[-1].answer == "x" * 1000

    receiver.answer = web.Response
    await change(database, "UPDATE webhook SET retry_at = now(); UPDATE webhook_delivery SET due_at = now()")
    await deliverer.deliver()
    assert [each["type"] for each in receiver.events(SECRET)] == [
        *["campaign.accepted"] * 2,
        "campaign.paused",
    ]
    assert receiver.seen[0].id == receiver.seen[1].id
    webhook, _ = await outbox.show(database, webhook_id)
    assert (webhook.failing_since, webhook.retry_at, webhook.waiting_count) == (None, None, 0)


async def test_one_event_that_is_never_taken_holds_up_no_other_campaign(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    webhook_id = await make(database, receiver.url)
    poison = await submit(database, phones(1))
    await submit(database, phones(1, first=1))

    def by_campaign() -> web.Response:
        campaign_id = receiver.seen[-1].verified(SECRET)["data"]["campaign_id"]
        return web.Response(status=500 if campaign_id == str(poison.id) else 200)

    receiver.answer = by_campaign
    for _ in range(15):
        await deliverer.deliver()
        await change(database, "UPDATE webhook SET retry_at = now(), failing_since = failing_since")
        await change(database, "UPDATE webhook_delivery SET due_at = now() WHERE state = 'waiting'")
    _, told = await outbox.show(database, webhook_id)
    assert [(each.state, each.attempt) for each in told if each.campaign_id == poison.id] == [
        ("given_up", 11)
    ]
    assert {each.state for each in told if each.campaign_id != poison.id} == {"succeeded"}


@pytest.mark.parametrize(
    ("status", "failing_for", "reason"),
    [
        (410, timedelta(0), "it answered 410"),
        (500, timedelta(days=3), "it took nothing for three days"),
        (500, timedelta(days=2), None),
    ],
)
async def test_a_webhook_is_disabled_by_410_and_after_three_days(
    database: Database,
    receiver: Receiver,
    deliverer: Deliverer,
    status: int,
    failing_for: timedelta,
    reason: str | None,
) -> None:
    webhook_id = await make(database, receiver.url)
    await change(database, "UPDATE webhook SET failing_since = now() - $1::interval", failing_for)
    receiver.answer = lambda: web.Response(status=status)
    await submit(database, phones(1))
    disabled = await deliverer.deliver()
    webhook, _ = await outbox.show(database, webhook_id)
    if reason is None:
        assert (disabled, webhook.disabled_at) == ([], None)
        return
    assert [each for each, _ in disabled] == [webhook_id]
    assert disabled[0][1] == webhook.disabled_reason
    assert str(webhook.disabled_reason).startswith(reason)
    await submit(database, phones(1, first=1))  # while it is disabled
    await deliverer.deliver()
    assert len(receiver.seen) == 1

    receiver.answer = web.Response
    await outbox.enable(database, webhook_id)
    await deliverer.deliver()
    assert len(receiver.seen) == 2, "what waited"
    since = datetime.now(UTC) - timedelta(hours=1)
    assert await outbox.recover(database, webhook_id, since) == 1
    assert await outbox.recover(database, webhook_id, since) == 0
    await deliverer.deliver()
    assert len(receiver.seen) == 3, "and what happened meanwhile"


async def test_retry_after_is_heeded(database: Database, receiver: Receiver, deliverer: Deliverer) -> None:
    webhook_id = await make(database, receiver.url)
    receiver.answer = lambda: web.Response(status=429, headers={"Retry-After": "7200"})
    await submit(database, phones(1))
    await deliverer.deliver()
    webhook, _ = await outbox.show(database, webhook_id)
    assert webhook.retry_at is not None
    assert webhook.retry_at - datetime.now(UTC) > timedelta(seconds=7100)


async def test_a_delivery_whose_worker_died_is_made_again(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    await make(database, receiver.url)
    await submit(database, phones(1))
    (claimed,) = await outbox.claim(database, most=9)
    assert await outbox.claim(database, most=9) == [], "while its lease lasts nobody else has it"
    await change(database, "UPDATE webhook_delivery SET leased_until = now()")
    await deliverer.deliver()
    assert [each.id for each in receiver.seen] == [str(claimed.event_id)]


async def test_replay_recover_test_and_rotation(
    database: Database, receiver: Receiver, deliverer: Deliverer
) -> None:
    webhook_id = await make(database, receiver.url, "campaign.accepted")
    other = await make(database, receiver.url, "campaign.failed")
    started = datetime.now(UTC) - timedelta(seconds=60)
    await submit(database, phones(1))
    await deliverer.deliver()
    event_id = UUID(receiver.seen[0].id)

    await outbox.replay(database, webhook_id, event_id)
    await deliverer.deliver()
    assert [each.id for each in receiver.seen] == [str(event_id)] * 2
    assert receiver.seen[0].body == receiver.seen[1].body
    with pytest.raises(NotFound):
        await outbox.replay(database, other, event_id)

    assert await outbox.recover(database, webhook_id, started) == 0
    assert await outbox.recover(database, webhook_id, started, all_of_them=True) == 1
    await deliverer.deliver()
    assert len(receiver.seen) == 3

    new = signing.new_secret()
    until_then = await outbox.rotate(database, webhook_id, new)
    assert until_then - datetime.now(UTC) > timedelta(hours=23)
    await outbox.test(database, webhook_id)
    await deliverer.deliver()
    for secret in (SECRET, new):
        assert receiver.seen[3].verified(secret)["type"] == EventType.TEST
    await change(
        database,
        "UPDATE webhook SET previous_secret_until = now() WHERE previous_secret IS NOT NULL",
    )
    await outbox.test(database, webhook_id)
    await deliverer.deliver()
    assert receiver.seen[4].verified(new)["data"] == {"webhook_id": str(webhook_id)}
    with pytest.raises(Exception, match="No matching signature"):
        receiver.seen[4].verified(SECRET)

    await outbox.delete(database, webhook_id)
    unknown: tuple[Callable[..., Any], ...] = (outbox.show, outbox.test, outbox.enable, outbox.delete)
    for act in unknown:
        with pytest.raises(NotFound, match="there is no webhook"):
            await act(database, webhook_id)


async def test_old_events_are_forgotten_with_their_deliveries(database: Database) -> None:
    await make(database, "https://example.com/")
    await submit(database, phones(1))
    await outbox.claim(database, most=0)
    assert await outbox.forget(database) == 0
    await change(database, "UPDATE webhook_event SET at = now() - interval '31 days'")
    assert await outbox.forget(database) == 1
    assert await query(database, "SELECT id FROM webhook_delivery") == []
