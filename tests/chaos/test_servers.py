"""Servers that vanish, forget and refuse, beats that are missing or doubled, and a broken link to Redis."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.waiting import wait_until
from worker.queues import QUEUES

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


def tell(scenario: str, **found: object) -> None:
    """What only this scenario knows, for `pytest -s` and the README's table."""
    print(json.dumps({"scenario": scenario, **found}))  # noqa: T201


# --- Redis ---------------------------------------------------------------------------------------------


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
        raging.quiet(campaign_id)
        await raging.judge(campaign_id)
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
        raging.quiet(campaign_id)
        await raging.judge(campaign_id)
        tell("04 flushall", gone_tasks=gone, resumed=resumed, rescued=raging.logs_hold('"rescued"'))
        assert raging.logs_hold('"rescued"') > 0, "nothing that was lost had to come back"


# --- PostgreSQL ------------------------------------------------------------------------------------------


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


def untaken_count(raging: Storm, campaign_id: str) -> int:
    """Messages in doubt that the provider never saw."""
    taken = ledger_counts(raging.url)
    lines = raging.export(campaign_id)
    return sum(line["state"] == "in_doubt" and line["phone"][1:] not in taken for line in lines)


async def test_05_postgres_restarted_under_load(folder: Path) -> None:
    """Immediate stops shorter than a lease: every answer in hand is written down when it is back, and so
    nothing is in doubt.
    """
    with storm(folder, LOG_LEVEL="debug", **pace_for(20)) as raging:
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
        raging.quiet(campaign_id)
        found = await raging.judge(campaign_id)
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
    """What was in flight is in doubt then, and nothing else is."""
    with storm(folder, **pace_for(10)) as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.4"))
        campaign_id = raging.submit()
        moves_on(raging)
        flying = await in_flight(raging)
        stop_postgres(raging)
        last_for(15)
        raging.start_missing_servers()
        resumed = moves_on(raging)
        raging.quiet(campaign_id)
        found = await raging.judge(campaign_id)
        untaken = untaken_count(raging, campaign_id)
        tell(
            "05 postgres away",
            resumed=resumed,
            flying=flying,
            in_doubt=found.in_doubt_count,
            untaken=untaken,
        )
        assert found.in_doubt_count > 0, "nothing was in flight"


# --- beat ------------------------------------------------------------------------------------------------


async def test_06_beat_missing(folder: Path) -> None:
    """Without a beat for 15 ticks: what runs goes on by itself, what begins waits, nothing is lost."""
    half = RECIPIENTS // 2
    with storm(folder, **pace_for(12)) as raging:
        raging.begin(workers=2)
        first = raging.submit(half)
        moves_on(raging)
        raging.kill("beat-0")
        begin = time.monotonic()
        raging.kill("worker-0")  # what it held needs a tick to come back
        before = raging.accepted_count()
        went_on = moves_on(raging)
        second = raging.submit(RECIPIENTS - half, first=half)
        last_for(max(0, 15 - (time.monotonic() - begin)))
        meanwhile = raging.accepted_count() - before
        assert raging.logs_hold('"rescued"') == 0
        raging.worker("worker-0")
        raging.beat("beat-0")
        resumed = moves_on(raging)
        raging.quiet(first)
        raging.quiet(second)
        await raging.judge(first, second)
        tell("06 beat missing", went_on=went_on, meanwhile=meanwhile, resumed=resumed)
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
        raging.quiet(campaign_id)
        found = await raging.judge(campaign_id)
        tell("06 two beats", ticks_in_four_seconds=ticks)
        assert ticks > 12, "one beat alone makes 8"
        assert found.in_doubt_count == 0
