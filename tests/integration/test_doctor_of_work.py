"""What the doctor says of what waits for a person: doubt, and what was set aside."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from campaigns.pacing.witness import SEEN_KEY, RedisWitness
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.rows import query
from tests.integration.sent_and_polled import send_all
from tests.river import phones, submit
from worker.broker import aside_tasks
from worker.cli.doctor import outside, work
from worker.cli.doctor.findings import Status
from worker.settings.model import Settings


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


async def test_who_worked_and_does_no_more_is_a_failure_also_where_nothing_is_due(database: Database) -> None:
    """Where nobody ever worked it is none; a worker without ticks is one."""
    settings = Settings()

    async def found() -> tuple[Status, str]:
        (finding,) = await work.workers(database, settings)
        return finding.status, finding.sentence

    status, sentence = await found()
    assert status is Status.NOTE
    assert "no worker was seen yet" in sentence
    await query(database, "INSERT INTO pulse (kind, name) VALUES ('worker', 'h:1:a')")
    assert await found() == (Status.FAIL, _no_tick("no tick yet"))
    await query(database, "INSERT INTO pulse (kind, name) VALUES ('tick', 'tick')")
    assert (await found())[0] is Status.OK
    await query(database, "UPDATE pulse SET seen_at = now() - interval '31 s' WHERE kind = 'tick'")
    assert await found() == (Status.FAIL, _no_tick("no tick for 31 s"))
    await query(database, "DELETE FROM pulse WHERE kind = 'worker'")
    assert (await found())[0] is Status.FAIL


def _no_tick(when: str) -> str:
    return (
        f"{when}: is `celery -A worker.app beat` running, and does Redis take what it writes? Nothing is due"
    )


async def test_a_redis_that_forgot_what_left_is_a_failure_while_that_is_under_way(
    database: Database, redis: Redis, make_desk: MakeDesk
) -> None:
    second = RedisWitness(redis, give_up_seconds=POLICY.give_up_seconds)

    async def status() -> Status:
        finding, *_ = await work.witness(database, second, POLICY.give_up_seconds)
        return finding.status

    async def remembers_since(seconds: int) -> None:
        await redis.hset(SEEN_KEY, "since", str(int(datetime.now(UTC).timestamp()) - seconds))

    assert await status() is Status.NOTE
    await submit(database, phones(3))
    assert await status() is Status.NOTE  # nothing left
    await send_all(database, make_desk())
    assert await status() is Status.FAIL  # it remembers nothing of it
    await remembers_since(60)
    assert await status() is Status.OK
    await query(database, "UPDATE batch SET give_up_at = give_up_at - interval '2 min'")
    (found, *_) = await work.witness(database, second, POLICY.give_up_seconds)
    assert found.status is Status.FAIL
    assert "1 campaign(s) under way had begun before" in found.sentence
    await query(database, "UPDATE campaign SET finished_at = now()")
    assert await status() is Status.OK


def test_a_disk_that_is_nearly_full_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=outside.LEAST_FREE_BYTES)
    monkeypatch.setattr(outside.shutil, "disk_usage", lambda _path: usage)
    assert [each.status for each in outside.disk(tmp_path)] == [Status.OK]
    usage.free -= 1
    (found,) = outside.disk(tmp_path / "not made yet")
    assert found.status is Status.FAIL
    assert "1.0 GiB are free where CAMPAIGNS_DATA_DIR is: make room" in found.sentence
