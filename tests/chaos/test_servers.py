"""Servers that vanish, forget and refuse, beats that are missing or doubled, and a broken link to Redis."""

import json
import time
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisGone

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


def last_for(seconds: float) -> None:
    """Let a trouble last. Not a wait for something to happen: how long is what the scenario is about."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time passes", seconds=seconds + 5)


def moves_on(raging: Storm, *, seconds: float = 60.0) -> float:
    """Wait until the provider gets something new, and give how long that took."""
    begin = time.monotonic()
    before = raging.accepted_count()
    everything = len(raging.rows)
    wait_until(
        lambda: raging.accepted_count() > before or before == everything,
        "the campaign goes on",
        seconds=seconds,
    )
    return time.monotonic() - begin


def queued_task_count(raging: Storm) -> int:
    """Tasks that lie in Redis and in no worker."""
    with raging.redis() as redis:
        return sum(redis.llen(queue) for queue in QUEUES)


def tell(**found: object) -> None:
    print(json.dumps(found))  # noqa: T201  `pytest -s` wants it


# --- Redis ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
async def test_03_redis_restarted_under_load(folder: Path, forgets: bool) -> None:
    """SHUTDOWN NOSAVE and a new start, six times; where it `forgets`, without its append-only file."""
    with storm(folder, **pace_for(15)) as raging, raging.supervised() as ended:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.1"))
        campaign_id = raging.submit()
        resumed = []
        lost_task_count = 0
        for _ in range(6):
            moves_on(raging)
            if raging.totals(campaign_id)["queued"] == 0:
                break
            lost_task_count += queued_task_count(raging)
            with raging.redis() as redis:
                redis.shutdown(nosave=True)
            last_for(raging.random.uniform(0.3, 3))
            if forgets:
                (folder / "servers" / "redis" / "appendonly.aof").unlink()
            raging.start_missing_servers()
            resumed.append(moves_on(raging))
        raging.quiet(campaign_id)
        await raging.judge(campaign_id)
        tell(
            scenario="03 " + ("forgets" if forgets else "remembers"),
            restarts=len(resumed),
            resumed=[round(s, 1) for s in resumed],
            worker_exits=len(ended),
            unrecoverable=raging.logs_hold("Unrecoverable error"),
            queued_tasks=lost_task_count,
            rescued=raging.logs_hold('"rescued"'),
        )
