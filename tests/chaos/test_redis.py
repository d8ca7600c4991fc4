"""Scenarios 3, 4 and 20: Redis restarts or forgets, and its link loses, doubles and holds things up."""

import signal
import time
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from campaigns.store.batching import deal_sending
from campaigns.store.leases import Dealt
from tests.chaos.proxy import Link, Mood, link
from tests.chaos.storm import Storm, storm
from tests.chaos.underway import arrives, last_for, moves_on, pace_for, tell
from tests.conftest import open_database
from tests.waiting import wait_until
from worker.queues import POLL_BATCHES, QUEUE_OF, QUEUES, SEND_BATCHES

SENDING, RECEIPTS = QUEUE_OF[SEND_BATCHES], QUEUE_OF[POLL_BATCHES]
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def begin_narrow(raging: Storm) -> None:
    """Begin with two workers that take one task at a time, so that others wait in Redis."""
    raging.begin(workers=0, simulator=("--latency-seconds", "0.1"))
    for name in ("worker-0", "worker-1"):
        command = ("celery", "-A", "worker.app", "worker", "--hostname", f"{name}@%h", "--concurrency", "1")
        raging.start(name, *command)


# --- Redis ------------------------------------------------------------------------------------------


def queued_task_count(raging: Storm) -> int:
    """Tasks that lie in Redis and in no worker."""
    with raging.redis() as redis:
        return sum(redis.llen(queue) for queue in QUEUES)


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
async def test_03_redis_restarted_under_load(folder: Path, forgets: bool) -> None:
    """SHUTDOWN NOSAVE and a new start, again and again; where Redis `forgets`, without its append-only file,
    so that every queued task is gone. Workers that end by it are started again.
    """
    with storm(folder, **pace_for(15)) as raging, raging.supervised() as ended:
        begin_narrow(raging)
        campaign_id = raging.submit()
        resumed = []
        queued = []
        for _ in range(4):
            moves_on(raging)
            queued.append(wait_until(lambda: queued_task_count(raging), "a task waits in Redis"))
            with raging.redis() as redis:
                redis.shutdown(nosave=True)
            last_for(raging.random.uniform(0.3, 2))
            if forgets:
                (folder / "servers" / "redis" / "appendonly.aof").unlink()
            raging.start_missing_servers()
            resumed.append(moves_on(raging))
        await arrives(raging, campaign_id)
        tell(
            f"03 redis {'forgets' if forgets else 'remembers'}",
            resumed=resumed,
            queued=queued,
            worker_exits=len(ended),
            unrecoverable=raging.logs_hold("Unrecoverable error"),
            rescued=raging.logs_hold('"rescued"'),
        )


async def test_04_redis_flushed_every_second(folder: Path) -> None:
    """FLUSHALL while tasks are queued: they are gone, their batches come back when their leases end."""
    with storm(folder, **pace_for(12)) as raging:
        begin_narrow(raging)
        campaign_id = raging.submit()
        moves_on(raging)
        gone = 0
        for _ in range(8):
            gone += wait_until(lambda: queued_task_count(raging), "a task waits in Redis", every=0.01)
            with raging.redis() as redis:
                redis.flushall()
            last_for(1)
        resumed = moves_on(raging)
        await arrives(raging, campaign_id)
        tell("04 flushall", gone_tasks=gone, resumed=resumed, rescued=raging.logs_hold('"rescued"'))
        assert raging.logs_hold('"rescued"') > 0, "nothing that was lost had to come back"


# --- the link to Redis ------------------------------------------------------------------------------


async def test_20_link_half_open(folder: Path) -> None:
    """For eight seconds nothing gets through to Redis or back, and no connection says so."""
    with storm(folder, **pace_for(15)) as raging, link(raging.urls.redis_client_url) as way:
        raging.settings["REDIS_URL"] = way.url
        with raging.supervised() as ended:
            raging.begin(workers=2)
            campaign_id = raging.submit()
            moves_on(raging)
            way.turn(Mood.SWALLOW)
            last_for(8)
            way.turn(Mood.PASS)
            resumed = moves_on(raging, seconds=30)
            await arrives(raging, campaign_id)
        tell("20 half-open", resumed=resumed, swallowed=way.swallowed_count, worker_exits=len(ended))
        assert way.swallowed_count > 0


async def test_20_replies_lost_and_tasks_doubled(folder: Path) -> None:
    """A task is in Redis and its publisher sees an error; and every task that waits there, five times over:
    the lease makes all but one a no-op.
    """
    with storm(folder, **pace_for(15)) as raging, link(raging.urls.redis_client_url) as way:
        raging.settings["REDIS_URL"] = way.url
        begin_narrow(raging)
        campaign_id = raging.submit()
        doubled = 0
        with raging.redis() as redis:
            for _ in range(3):
                moves_on(raging)
                lose_a_reply(way)
                doubled += wait_until(lambda: double(redis), "a task waits in Redis", every=0.01)
        found = await arrives(raging, campaign_id)
        tell("20 replies lost", lost_replies=way.lost_reply_count, doubled=doubled)
        assert found.in_doubt_count == 0


def lose_a_reply(way: Link) -> None:
    """Let the next task of a batch get into Redis, and its publisher see an error."""
    before = way.lost_reply_count
    way.lose_reply_to("LPUSH", SENDING)
    wait_until(lambda: way.lost_reply_count > before, "a reply is lost")


def double(redis: Redis) -> int:
    """Put five copies of every waiting batch task behind it. Gives how many."""
    tasks = [task for queue in (SENDING, RECEIPTS) for task in redis.lrange(queue, 0, -1)]
    for task in tasks * 5:
        redis.lpush(SENDING, task)
    return 5 * len(tasks)


async def test_20_task_popped_by_a_frozen_worker(folder: Path) -> None:
    """Redis hands a task to a worker that stands still and is killed: then it is nowhere. Its batch comes
    back when its lease ends.
    """
    with storm(folder) as raging:
        raging.begin(workers=1, beats=0)
        wait_until(lambda: raging.logs_hold("ready."), "the worker waits for tasks")
        raging.signal_process("worker-0", signal.SIGSTOP)  # it would hear of the campaign, and deal
        wait_until(lambda: raging.is_stopped("worker-0"), "the worker stands still")
        campaign_id = raging.submit(500)  # five batches, all of them dealt by us
        dealt = await lose_a_task(raging)
        begin = time.monotonic()
        raging.kill("worker-0")
        raging.worker("worker-0")
        raging.beat("beat-0")
        await raging.until(
            "SELECT 1 FROM batch WHERE id = $1 AND lease > $2 AND state <> 'leased'",
            dealt.batch_id,
            dealt.lease,
            what="the batch came back",
        )
        back_after = round(time.monotonic() - begin, 1)
        found = await arrives(raging, campaign_id)
        tell("20 task popped", back_after=back_after, rescued=raging.logs_hold('"rescued"'))
        assert raging.logs_hold('"rescued"') > 0
        assert found.in_doubt_count == 0


async def lose_a_task(raging: Storm) -> Dealt:
    """Freeze the worker, deal a batch and publish its task; again with another batch until Redis has handed
    the task over to the frozen worker, which it does only while a BRPOP of that worker is pending.
    """
    database = open_database(raging.urls.database_url)
    try:
        with Celery(broker=raging.urls.redis_url) as dealer, raging.redis() as redis:
            for dealt in await deal_sending(database, in_flight=5, of_account={"main": 5}, lease_seconds=13):
                raging.signal_process("worker-0", signal.SIGSTOP)
                wait_until(lambda: raging.is_stopped("worker-0"), "the worker stands still")
                dealer.send_task(SEND_BATCHES, ([(dealt.batch_id, dealt.lease)],), queue=SENDING)
                if not redis.exists(SENDING, "unacked"):
                    return dealt
                raging.signal_process("worker-0", signal.SIGCONT)
                wait_until(lambda: not redis.exists(SENDING, "unacked"), "the worker has taken it")
    finally:
        await database.close()
    raise AssertionError("the worker was never in a BRPOP when it was frozen")
