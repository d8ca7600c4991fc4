"""Tasks that were set aside, in a real Redis."""

import json

import pytest
from celery import Celery
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from worker.broker import aside_tasks
from worker.cli.doctor import broker as doctor
from worker.cli.doctor.findings import Status
from worker.queues import QUEUE_OF, SUBMIT
from worker.settings.addresses import broker_url
from worker.stack.embedded.servers import ServerUrls

RAW = b"\x00\xff as it came"


def keep(servers: ServerUrls, task: str = "") -> int | None:
    """Set a message aside. Gives its number."""
    with SyncRedis.from_url(servers.redis_client_url) as client:
        return aside_tasks.keep(client, RAW, queue=QUEUE_OF[SUBMIT], reason="why", task=task, task_id="id")


async def test_one_is_tried_again_as_it_came_and_one_is_dropped(servers: ServerUrls, redis: Redis) -> None:
    """By its number, once."""
    first, second = keep(servers), keep(servers)
    assert first is not None
    assert second is not None
    assert [each.number for each in await aside_tasks.listed(redis, limit=10)] == [first, second]
    assert len(await aside_tasks.listed(redis, limit=1)) == 1

    assert await aside_tasks.retry(redis, [first, 999]) == [first]
    assert await redis.lrange(QUEUE_OF[SUBMIT], 0, -1) == [RAW]
    assert await aside_tasks.drop(redis, [first, second]) == [second]
    assert await aside_tasks.count(redis) == 0
    assert not await redis.exists(aside_tasks.MESSAGES)


async def test_when_there_are_too_many_what_may_be_a_submission_is_kept(
    servers: ServerUrls, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's flood pushes out nothing."""
    monkeypatch.setattr(aside_tasks, "MOST", 1)
    assert keep(servers, "shop.invoice") is not None
    assert keep(servers, "shop.invoice") is None
    assert keep(servers, SUBMIT) is not None
    assert keep(servers) is not None
    assert await aside_tasks.count(redis) == 3


async def test_doctor_tells_of_them_and_of_submissions_in_celerys_own_queue(
    servers: ServerUrls, redis: Redis
) -> None:
    """Both fail: somebody waits for a campaign."""
    keep(servers)
    with Celery(broker=broker_url(servers.redis_url)) as service:
        service.send_task(SUBMIT, kwargs={})
        service.send_task("shop.invoice")
    found = [each for each in await doctor.redis(redis, "here") if each.name == "tasks"]
    assert [each.status for each in found] == [Status.FAIL, Status.FAIL]
    assert "1 task(s) set aside" in found[0].sentence
    assert "1 submission(s) wait in the queue celery" in found[1].sentence
    assert json.dumps([each.sentence for each in found]).count("campaigns aside list") == 1
