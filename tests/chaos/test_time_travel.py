"""A PostgreSQL that goes back in time in the middle of a campaign: what it forgot is not sent again."""

from collections.abc import Collection
from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.proxy import Link
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.chaos.time_travel import Copy, back_up, one_address, running, takes_over
from tests.chaos.underway import last_for, pace_for, stop_postgres, tell
from tests.waiting import wait_until
from worker.stack.embedded.servers import servers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

FORGOTTEN = "Redis saw attempt"


def progress(raging: Storm, share: float) -> None:
    """Wait until so much of all has been accepted."""
    wait_until(
        lambda: raging.accepted_count() >= share * RECIPIENTS, f"{share:.0%} are accepted", seconds=120
    )


def doctor(raging: Storm) -> str:
    """All that the doctor says."""
    return raging.run("doctor", check=False).stdout.decode()


def restart_redis(raging: Storm, *, forgets: bool) -> None:
    """SHUTDOWN and a new start; where it `forgets`, without its append-only file."""
    with raging.redis() as redis:
        redis.shutdown(save=not forgets, nosave=forgets)
    if forgets:
        (raging.directory / "servers" / "redis" / "appendonly.aof").unlink()
    with servers(raging.directory / "servers", want_postgres=False):
        return


async def is_held(raging: Storm) -> str:
    """Wait until every account is held; why."""
    (row,) = await raging.until(
        "SELECT reason FROM account_hold WHERE code = 'went_back'", what="the account is on hold", seconds=90
    )
    return str(row["reason"])


async def operator_goes_on(raging: Storm, campaign_id: str, *, again: Collection[str] = ()) -> dict[str, int]:
    """The operator sees why nothing is sent, and says go on; then everything settles, or stays in doubt."""
    assert "campaigns resume --all-accounts" in doctor(raging)
    assert "campaigns resume --all-accounts" in raging.json("status", campaign_id)["held"]
    raging.run("resume", "--all-accounts")
    await raging.until_quiet(seconds=240)
    found = await raging.judge(campaign_id, again=again)
    assert found.totals["delivered"] + found.in_doubt_count == found.recipient_count, found.totals
    reasons = raging.json("status", campaign_id)["reasons"]
    forgotten = sum(each["count"] for each in reasons if FORGOTTEN in (each["reason"] or ""))
    return {"in_doubt": found.in_doubt_count, "forgotten": forgotten}


async def promote(raging: Storm, copy: Copy, way: Link) -> None:
    """The primary is gone, and its standby takes over under the same address."""
    stop_postgres(raging)
    assert await copy.sql("SELECT pg_promote(true, 60)")
    takes_over(raging, copy, way)


REDIS = pytest.mark.parametrize("redis", ["stays", "restarts", "forgets"])


@REDIS
async def test_27_a_lagging_standby_is_promoted(folder: Path, redis: str) -> None:
    """What was confirmed and did not reach the standby is in doubt, and none of it is sent twice: workers go
    on all the while. Where Redis forgot as well, the accounts are held all the same; what was forgotten is
    sent again only after a person says go on.
    """
    with storm(folder, **pace_for(25)) as raging, one_address(raging) as way:
        raging.begin(workers=2)
        copy = back_up(raging, folder / "standby", as_standby=True)
        with running(copy), raging.supervised():
            campaign_id = raging.submit()
            progress(raging, 0.2)
            await copy.stop_receiving()
            before = raging.accepted_count()
            progress(raging, 0.5)
            lost = raging.accepted_count() - before
            await promote(raging, copy, way)
            if redis != "stays":
                restart_redis(raging, forgets=redis == "forgets")
            why = await is_held(raging)
            again = ledger_counts(raging.url) if redis == "forgets" else ()
            found = await operator_goes_on(raging, campaign_id, again=again)
            twice = sum(count > 1 for count in ledger_counts(raging.url).values())
            tell(f"27 standby promoted, Redis {redis}", lost=lost, twice=twice, why=why, **found)
            assert lost > 0
            if redis != "forgets":
                assert found["forgotten"] > 0


@REDIS
async def test_28_a_base_backup_is_restored(folder: Path, redis: str) -> None:
    """Everything is stopped, the backup of a while ago started, and then workers and beat. Nothing leaves
    until a person says go on, and what the backup does not know of does not leave then.
    """
    with storm(folder, **pace_for(25)) as raging, one_address(raging) as way:
        raging.begin(workers=2)
        campaign_id = raging.submit()
        progress(raging, 0.2)
        copy = back_up(raging, folder / "backup")
        before = raging.accepted_count()
        progress(raging, 0.6)
        raging.stop("beat-0")
        raging.stop_workers()
        stop_postgres(raging)
        known = raging.accepted_count()
        if redis != "stays":
            restart_redis(raging, forgets=redis == "forgets")
        with running(copy):
            takes_over(raging, copy, way)
            for number in range(2):
                raging.worker(f"worker-{number}")
            raging.beat("beat-0")
            if redis == "forgets":
                # The same cluster, of the same timeline: only Redis could have known better.
                again = ledger_counts(raging.url)
                await raging.until_quiet(seconds=240)
                await raging.judge(campaign_id, again=again)
                twice = sum(count > 1 for count in ledger_counts(raging.url).values())
                tell("28 backup restored, Redis forgets", lost=known - before, twice=twice)
                return
            why = await is_held(raging)
            last_for(2)
            assert raging.accepted_count() == known, "nothing leaves before a person says go on"
            found = await operator_goes_on(raging, campaign_id)
            tell(f"28 backup restored, Redis {redis}", lost=known - before, why=why, **found)
            assert found["forgotten"] > 0
