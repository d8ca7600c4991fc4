"""How webhooks are told: in order, at least once, one webhook never at the cost of another."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from campaigns import aggregation, outbox
from campaigns.domain.errors import NotFound
from campaigns.domain.states import CampaignState
from campaigns.domain.webhooks import EventType
from campaigns.store.outbox import deliveries
from campaigns.store.session import Database
from tests.contract.webhooks.receiver import Receiver, receiving
from tests.integration.rows import query
from tests.integration.telling import SECRET, change, make
from tests.river import phones, submit
from tests.waiting import until
from worker.webhooks import signing
from worker.webhooks.delivering import Deliverer


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
    await outbox.send_test(database, webhook_id)
    await deliverer.deliver()
    for secret in (SECRET, new):
        assert receiver.seen[3].verified(secret)["type"] == EventType.TEST
    await change(
        database,
        "UPDATE webhook SET previous_secret_until = now() WHERE previous_secret IS NOT NULL",
    )
    await outbox.send_test(database, webhook_id)
    await deliverer.deliver()
    assert receiver.seen[4].verified(new)["data"] == {"webhook_id": str(webhook_id)}
    with pytest.raises(Exception, match="No matching signature"):
        receiver.seen[4].verified(SECRET)

    await outbox.delete(database, webhook_id)
    unknown: tuple[Callable[..., Any], ...] = (outbox.show, outbox.send_test, outbox.enable, outbox.delete)
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


async def test_thousands_of_one_campaign_that_wait_are_not_compared_with_each_other(
    database: Database,
) -> None:
    """A campaign of a million settles ten thousand batches: a claim finds the oldest by the index."""
    await make(database, "https://hooks.shop.test/")
    await query(
        database,
        "INSERT INTO webhook_event (type, campaign_id, data) SELECT 'campaign.paused', $1, '{}'"
        " FROM generate_series(1, 3000)",
        UUID(int=1),
    )
    while await query(database, "SELECT 1 FROM webhook_event WHERE handed_out_at IS NULL LIMIT 1"):
        await outbox.claim(database, most=0)
    await query(database, "ANALYZE webhook_delivery")
    (plan,) = await query(
        database, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {deliveries._CLAIM}", 32, 2, 30.0
    )
    (explained,) = json.loads(plan["QUERY PLAN"])
    assert explained["Plan"]["Actual Rows"] == 1
    assert _looks(explained["Plan"]) < 30_000, "it looks at each again and again"


def _looks(plan: dict[str, Any]) -> float:
    """Rows that a plan looked at and threw away, or read."""
    thrown = plan.get("Rows Removed by Join Filter", 0) + plan.get("Rows Removed by Filter", 0)
    own = (thrown + plan["Actual Rows"]) * plan["Actual Loops"]
    return float(own + sum(_looks(each) for each in plan.get("Plans", [])))
