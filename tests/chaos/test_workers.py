"""Workers that die, freeze, drain and are poisoned."""

from functools import partial
from pathlib import Path

import pytest

from tests.chaos.storm import RECIPIENTS, SEED, Storm, storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


async def test_01_workers_killed_twenty_times(folder: Path) -> None:
    """kill -9 at random moments: what was in flight is in doubt, everything else arrives, once."""
    with storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.2"))
        campaign_id = raging.submit(texts=7)
        kills = 0
        for number in range(20):
            name = f"worker-{number % 2}"
            before = raging.accepted_count()
            wait_until(
                lambda before=before: (
                    raging.accepted_count() > before or raging.totals(campaign_id)["queued"] == 0
                ),
                "something moves between two kills",
                seconds=60,
                every=raging.random.uniform(0.05, 0.4),
            )
            raging.kill(name)
            kills += 1
            raging.worker(name)
        raging.quiet(campaign_id)
        found = await raging.judge(campaign_id)
        assert kills == 20
        assert found.in_doubt_count > 0, "the storm never hit a request in flight"


async def test_21_a_batch_that_kills_its_worker(folder: Path) -> None:
    """It is set aside after five workers, and says so; the batches that died with it arrive all the same."""
    with storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="50") as raging, raging.supervised() as ended:
        poison = raging.random.randrange(RECIPIENTS)
        for number in range(2):
            raging.hurt[f"worker-{number}"] = {"HURT_POISON": f"+3706{poison // 80:05d}{poison % 80:02d}"}
        raging.begin(workers=1, simulator=("--latency-seconds", "0.2"))
        campaign_id = raging.submit()
        await raging.until_quiet(seconds=200)
        found = await raging.judge(campaign_id)
        print(found.totals, ended)
        rows = await raging.sql(
            "SELECT b.id, crash_count, b.state::text, trouble, count(*) AS n, max(m.reason) AS reason FROM batch b"
            " JOIN message m ON m.batch_id = b.id WHERE m.state = 'failed' GROUP BY 1"
        )
        for row in rows: print(dict(row))
        assert found.totals["failed"] == 100
