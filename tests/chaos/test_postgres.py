"""Scenarios 5 and 16: PostgreSQL restarts, stays away, refuses."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from campaigns.store.session import Connection
from tests.acceptance.processes import ledger_counts
from tests.chaos.storm import Storm, storm
from tests.chaos.underway import arrives, last_for, moves_on, pace_for, stop_postgres, tell

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


# --- PostgreSQL -------------------------------------------------------------------------------------


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


# --- a PostgreSQL that refuses ----------------------------------------------------------------------


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
