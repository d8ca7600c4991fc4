"""What the doctor says of what waits for a person: doubt, and what was set aside."""

from redis.asyncio import Redis

from campaigns.store.session import Database
from tests.integration.rows import query
from tests.river import phones, submit
from worker.broker import aside_tasks
from worker.cli.doctor import work
from worker.cli.doctor.findings import Status


async def test_what_is_set_aside_is_a_failure_until_somebody_says_what_to_do(
    database: Database, redis: Redis
) -> None:
    assert [each.status for each in await work.receipts_set_aside(database)] == [Status.OK]
    assert [each.status for each in await work.tasks_set_aside(redis)] == [Status.OK]
    await query(
        database,
        "INSERT INTO waiting_receipt (account, provider_state, provider_message_id, set_aside_at,"
        " set_aside_reason) VALUES ('main', 'sent', '1', '2026-11-28 12:00+00', 'it cannot be merged')",
    )
    await redis.hset(
        aside_tasks.ABOUT,
        "1",
        '{"at": 1, "reason": "no JSON", "task": "", "id": "", "queue": "campaigns.tick", "bytes": 3}',
    )

    (receipt,) = await work.receipts_set_aside(database)
    (task,) = await work.tasks_set_aside(redis)

    assert receipt.status is task.status is Status.FAIL
    assert receipt.sentence == (
        "1 receipt(s), the oldest since 2026-11-28 12:00 UTC (it cannot be merged): campaigns aside list"
    )
    assert "no JSON" in task.sentence


async def test_doubt_is_told_over_all_campaigns_and_since_when(database: Database) -> None:
    await submit(database, phones(3))
    await submit(database, phones(2))
    await query(
        database, "UPDATE batch SET state = 'tracking', queued_count = 0, in_doubt_count = message_count"
    )
    await query(database, "UPDATE message SET state = 'sending', attempt = 1")
    await query(database, "UPDATE message SET state = 'in_doubt', updated_at = '2026-11-28 12:00+00'")

    (found,) = await work.doubt(database)

    assert found.status is Status.NOTE
    assert "5 message(s) of 2 campaign(s) in doubt, the oldest since 2026-11-28 12:00 UTC" in found.sentence


async def test_a_campaign_on_hold_is_named_with_its_reason(database: Database) -> None:
    await submit(database, phones(3))
    campaign_id = (await query(database, "SELECT id FROM campaign"))[0]["id"]
    assert await work.campaign_holds(database) == []
    await query(
        database,
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
        " VALUES ($1, 'sender', '12', 'the sender is not registered', 'Ops')",
        campaign_id,
    )

    (found,) = await work.campaign_holds(database)

    assert found.status is Status.FAIL
    assert "the sender is not registered; once that is mended: campaigns resume" in found.sentence
