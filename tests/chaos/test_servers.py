"""Servers that vanish, forget and refuse, beats that are missing or doubled, and a broken link to Redis."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from celery import Celery
from redis import Redis

from campaigns.store.batching import deal_sending
from campaigns.store.leases import Dealt
from campaigns.store.session import Connection
from tests.acceptance.processes import ledger_counts
from tests.chaos.proxy import Link, Mood, link
from tests.chaos.storm import RECIPIENTS, Judgement, Storm, storm
from tests.conftest import open_database
from tests.waiting import wait_until
from worker.queues import POLL_BATCHES, QUEUE_OF, QUEUES, SEND_BATCHES

SENDING, RECEIPTS = QUEUE_OF[SEND_BATCHES], QUEUE_OF[POLL_BATCHES]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def pace_for(seconds: float, *, requests: int = 125) -> dict[str, str]:
    """Settings by which a storm's recipients leave in about so many requests and take about so long."""
    return {
        "ACCOUNTS__MAIN__REQUESTS_PER_SECOND": f"{requests / seconds:.3f}",
        "ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST": str(max(1, min(100, RECIPIENTS // requests))),
    }


def begin_narrow(raging: Storm) -> None:
    """Begin with two workers that take one task at a time, so that others wait in Redis."""
    raging.begin(workers=0, simulator=("--latency-seconds", "0.1"))
    for name in ("worker-0", "worker-1"):
        command = ("celery", "-A", "worker.app", "worker", "--hostname", f"{name}@%h", "--concurrency", "1")
        raging.start(name, *command)


def last_for(seconds: float) -> None:
    """Let a trouble last: how long is what the scenario is about, there is nothing else to wait for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time passes", seconds=seconds + 5)


def moves_on(raging: Storm, *, seconds: float = 60.0) -> float:
    """Wait until the provider gets something new (or has everything), and give how long that took."""
    begin = time.monotonic()
    before = raging.accepted_count()
    everything = len(raging.rows)
    wait_until(
        lambda: raging.accepted_count() > before or before == everything, "it goes on", seconds=seconds
    )
    return round(time.monotonic() - begin, 1)


async def arrives(raging: Storm, *campaign_ids: str) -> Judgement:
    """Wait until all is quiet, and judge: every message reached its handset, or is in doubt."""
    await raging.until_quiet()
    found = await raging.judge(*campaign_ids)
    assert found.totals["delivered"] + found.in_doubt_count == found.recipient_count, found.totals
    return found


def tell(scenario: str, **found: object) -> None:
    """What only this scenario knows, for `pytest -s` and docs/chaos.md."""
    print(json.dumps({"scenario": scenario, **found}))  # noqa: T201


# --- Redis -----------------------------------------------------------------------------------------


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


# --- PostgreSQL ------------------------------------------------------------------------------------


def stop_postgres(raging: Storm) -> None:
    """An immediate stop: nothing is written out, every session is cut off."""
    pid = int((raging.directory / "servers" / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes() == b""  # a zombie has none
        except FileNotFoundError:
            return True

    wait_until(is_gone, "PostgreSQL is gone")


async def in_flight(raging: Storm) -> int:
    """Wait until requests are on their way, and give how many messages are in them."""
    deadline = time.monotonic() + 30
    while not (rows := await raging.sql("SELECT count(*) AS n FROM message WHERE state = 'sending'"))[0]["n"]:
        assert time.monotonic() < deadline, "nothing left within 30 s"
        await asyncio.sleep(0.02)
    return int(rows[0]["n"])


async def who_hands_over(raging: Storm) -> int:
    """Wait until requests are on their way, and give the process that sent one."""
    deadline = time.monotonic() + 30
    while not (rows := await raging.sql(_SENDERS)):
        assert time.monotonic() < deadline, "nothing left within 30 s"
        await asyncio.sleep(0.02)
    return int(rows[0]["pid"])


_SENDERS = """
    SELECT split_part(b.leased_by, ':', 2) AS pid FROM batch b JOIN message m ON m.batch_id = b.id
    WHERE b.state = 'leased' AND b.leased_for = 'sending' AND m.state = 'sending' LIMIT 1
"""


def untaken_count(raging: Storm, campaign_id: str) -> int:
    """Messages in doubt that the provider never saw."""
    taken = ledger_counts(raging.url)
    lines = raging.export(campaign_id)
    return sum(line["state"] == "in_doubt" and line["phone"][1:] not in taken for line in lines)


async def test_05_postgres_restarted_under_load(folder: Path) -> None:
    """Immediate stops shorter than a lease: every answer in hand is written down when it is back, and so
    nothing is in doubt.
    """
    with storm(folder, **pace_for(20)) as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.4"))
        campaign_id = raging.submit()
        resumed = []
        flying = []
        for _ in range(5):
            moves_on(raging)
            flying.append(await in_flight(raging))
            stop_postgres(raging)
            last_for(raging.random.uniform(0.5, 3))
            raging.start_missing_servers()
            resumed.append(moves_on(raging))
        found = await arrives(raging, campaign_id)
        untaken = untaken_count(raging, campaign_id)
        tell(
            "05 postgres restarted",
            resumed=resumed,
            flying=flying,
            in_doubt=found.in_doubt_count,
            untaken=untaken,
        )
        assert found.in_doubt_count == 0


async def test_05_postgres_away_for_longer_than_a_lease(folder: Path) -> None:
    """What was in flight was answered, and answers outlive the leases: nothing is in doubt in the end."""
    with storm(folder, **pace_for(10)) as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.4"))
        campaign_id = raging.submit()
        moves_on(raging)
        flying = await in_flight(raging)
        stop_postgres(raging)
        last_for(15)
        raging.start_missing_servers()
        resumed = moves_on(raging)
        found = await arrives(raging, campaign_id)
        untaken = untaken_count(raging, campaign_id)
        tell(
            "05 postgres away",
            resumed=resumed,
            flying=flying,
            in_doubt=found.in_doubt_count,
            untaken=untaken,
        )
        assert flying > 0, "nothing was in flight"
        assert found.in_doubt_count == 0


# --- beat ------------------------------------------------------------------------------------------


async def test_06_beat_missing(folder: Path) -> None:
    """Without a beat for 15 ticks and more: what runs goes on by itself only while one batch deals the next,
    what is submitted meanwhile is heard of, and what a dead worker held waits; with a beat all of it goes on.
    """
    half = RECIPIENTS // 2
    with storm(folder, **pace_for(12)) as raging:
        raging.begin(workers=2)
        first = raging.submit(half)
        moves_on(raging)
        raging.kill("beat-0")
        begin = time.monotonic()
        held_by = await who_hands_over(raging)
        name = next(each for each in ("worker-0", "worker-1") if raging.pid(each) == held_by)
        raging.kill(name)
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM batch WHERE state = 'leased' AND leased_until > now())",
            what="what ran has run out, and so has what the dead worker held",
        )
        second = raging.submit(RECIPIENTS - half, first=half)
        last_for(max(1, 15 - (time.monotonic() - begin)))
        away = round(time.monotonic() - begin, 1)
        assert raging.logs_hold('"rescued"') == 0, "without a beat nothing is rescued"
        assert raging.totals(second)["queued"] < RECIPIENTS - half
        raging.beat("beat-0")
        resumed = moves_on(raging)
        raging.worker(name)
        found = await arrives(raging, first, second)
        tell("06 beat missing", away=away, resumed=resumed, in_doubt=found.in_doubt_count)
        assert raging.logs_hold('"rescued"') > 0


def published_count(raging: Storm) -> int:
    """Tasks published so far."""
    with raging.redis() as redis:
        return int(redis.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"])


async def test_06_two_beats(folder: Path) -> None:
    """Twice the ticks, and for a while one of them frozen: nothing happens twice."""
    with storm(folder, TICK_SECONDS="0.5", **pace_for(12)) as raging:
        raging.begin(workers=2, beats=2)
        wait_until(lambda: published_count(raging) > 2, "both beats tick")
        before = published_count(raging)
        last_for(4)
        ticks = published_count(raging) - before
        campaign_id = raging.submit()
        moves_on(raging)
        raging.signal_process("beat-0", signal.SIGSTOP)
        last_for(4)
        raging.signal_process("beat-0", signal.SIGCONT)
        found = await arrives(raging, campaign_id)
        tell("06 two beats", ticks_in_four_seconds=ticks)
        assert ticks > 12, "one beat alone makes 8"
        assert found.in_doubt_count == 0


async def test_06_beat_ends_in_the_middle_of_a_publish(folder: Path) -> None:
    """SIGTERM while Redis does not answer: beat ends all the same, when that publish is over."""
    with storm(folder) as raging, link(raging.urls.redis_client_url) as way:
        raging.settings["REDIS_URL"] = way.url
        raging.beat("beat-0")
        wait_until(lambda: published_count(raging), "beat ticks")
        way.turn(Mood.SWALLOW)
        swallowed = way.swallowed_count
        wait_until(lambda: way.swallowed_count > swallowed, "beat is in a publish")
        assert raging.stop("beat-0", seconds=20) == 0


# --- a PostgreSQL that refuses ---------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """What PostgreSQL is made to do, and what it says then: workers repeat it in their logs."""

    says: str
    begin: str = "SELECT"
    end: str = "SELECT"
    again: str = "SELECT"  # all the while
    cuts: bool = False  # meets new sessions only: those there are, are ended


# What the server says when a table cannot grow, or a statement was stopped: the transaction is gone, the
# session stays.
STATEMENTS = (
    Trouble(
        "could not extend file",
        "CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file'; END $$;"
        "CREATE TRIGGER grow BEFORE UPDATE ON message FOR EACH STATEMENT EXECUTE FUNCTION grow()",
        "DROP FUNCTION grow CASCADE",
    ),
    Trouble(
        "canceling statement due to user request",
        "CREATE FUNCTION tarry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_sleep(10); RETURN NULL; END $$;"
        "CREATE TRIGGER tarry BEFORE UPDATE ON message FOR EACH STATEMENT EXECUTE FUNCTION tarry()",
        "DROP FUNCTION tarry CASCADE",
        again="SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'app' AND state = 'active'",
    ),
    Trouble(
        "permission denied for table",
        "REVOKE UPDATE ON message, batch FROM app",
        "GRANT UPDATE ON message, batch TO app",
    ),
)
SESSIONS = (
    Trouble(
        "in a read-only transaction",
        "ALTER ROLE app SET default_transaction_read_only = on",
        "ALTER ROLE app RESET default_transaction_read_only",
        cuts=True,
    ),
    Trouble(
        "too many connections for role",
        "ALTER ROLE app CONNECTION LIMIT 0",
        "ALTER ROLE app CONNECTION LIMIT -1",
        cuts=True,
    ),
    Trouble("is not permitted to log in", "ALTER ROLE app NOLOGIN", "ALTER ROLE app LOGIN", cuts=True),
)


@asynccontextmanager
async def plain_role(raging: Storm) -> AsyncIterator[Connection]:
    """Have everybody work as a role that has no more rights than it needs, which can be taken away. Gives
    the owner's connection. A batch under which a worker seems to have ended is noted in the table `blamed`.
    """
    owner = await asyncpg.connect(raging.urls.database_url)
    try:
        await owner.execute(
            "CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;"
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;"
            "CREATE TABLE blamed (batch_id bigint); GRANT ALL ON blamed TO app;"
            "CREATE FUNCTION blame() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO blamed VALUES (NEW.id); RETURN NULL; END $$;"
            "CREATE TRIGGER blame AFTER UPDATE ON batch FOR EACH ROW"
            " WHEN (NEW.crash_count > OLD.crash_count) EXECUTE FUNCTION blame()"
        )
        raging.settings["DATABASE_URL"] = raging.urls.database_url.replace("postgres@", "app@")
        yield owner
    finally:
        await owner.close()


async def suffer(owner: Connection, trouble: Trouble, seconds: float) -> None:
    """One trouble from its beginning to its end."""
    await owner.execute(trouble.begin)
    if trouble.cuts:
        await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await owner.execute(trouble.again)
        await asyncio.sleep(0.02)
    await owner.execute(trouble.end)


@pytest.mark.parametrize("troubles", [STATEMENTS, SESSIONS], ids=["statements", "sessions"])
async def test_16_postgres_refuses(folder: Path, troubles: Sequence[Trouble]) -> None:
    """A full disk, stopped statements, lost rights; a standby's sessions, none left, no entry: all shorter
    than a lease. Answers in hand are written down afterwards, nothing is in doubt, and no batch is blamed for
    the end of a worker that never ended.
    """
    with storm(folder, LEASE_SECONDS="20", **pace_for(20)) as raging:
        async with plain_role(raging) as owner:
            raging.begin(workers=2, simulator=("--latency-seconds", "0.3"))
            campaign_id = raging.submit()
            resumed = {}
            for trouble in troubles:
                moves_on(raging)
                await in_flight(raging)
                await suffer(owner, trouble, 3)
                resumed[trouble.says] = moves_on(raging, seconds=30)
            await arrives(raging, campaign_id)
            blamed = await owner.fetchval("SELECT count(*) FROM blamed")
        met = {trouble.says: raging.logs_hold(trouble.says) for trouble in troubles}
        tell("16 postgres refuses", resumed=resumed, met=met, blamed=blamed)
        assert all(met.values())
        assert blamed == 0


# --- the link to Redis -----------------------------------------------------------------------------


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
