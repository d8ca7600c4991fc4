"""A worker cut off from the database for longer than its lease: what it had in hand is not lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.chaos.proxy import Link, Mood, link
from tests.chaos.storm import Storm, storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

RECIPIENTS = 2_000


@contextmanager
def link_to_postgres(raging: Storm) -> Iterator[Link]:
    """A TCP port that leads to the storm's PostgreSQL."""
    where = parse_qs(urlsplit(raging.urls.database_url).query)
    with link(f"unix://{where['host'][0]}/.s.PGSQL.{where['port'][0]}") as way:
        yield way


def start_behind(raging: Storm, way: Link, name: str) -> subprocess.Popen[bytes]:
    """The production command, whose database lies behind the link."""
    database = urlsplit(raging.urls.database_url)
    address = database._replace(netloc=f"postgres@127.0.0.1:{urlsplit(way.url).port}", query="").geturl()
    return raging.start(
        name,
        "/usr/bin/env",
        f"CAMPAIGNS_DATABASE_URL={address}",
        *(sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--hostname", f"{name}@%h"),
    )


_HANDS_OVER = """
    SELECT 1 FROM batch b JOIN message m ON m.batch_id = b.id
    WHERE b.state = 'leased' AND split_part(b.leased_by, ':', 2) = $1 AND m.state = 'sending' LIMIT 1
"""


async def cut_off_until_in_doubt(raging: Storm, way: Link) -> int:
    """Cut worker-0 off while its requests are with the provider, until rescue calls them in doubt."""
    await raging.until(_HANDS_OVER, str(raging.pid("worker-0")), what="worker-0 hands over")
    way.turn(Mood.REFUSE)
    spooled = raging.directory / "servers" / "late-answers"
    wait_until(lambda: list(spooled.glob("*.jsonl")), "its answers are on its disk", seconds=90)
    (row,) = await raging.until(
        "SELECT count(*)::int AS n FROM message WHERE state = 'in_doubt' HAVING count(*) > 0",
        what="rescue calls them in doubt",
    )
    return int(row["n"])


@pytest.mark.parametrize("ends", ["lives on", "is killed"])
async def test_26_answers_in_hand_outlive_the_lease(folder: Path, ends: str) -> None:
    with storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="5") as raging, link_to_postgres(raging) as way:
        raging.begin(workers=0, simulator=("--latency-seconds", "0.5"))
        start_behind(raging, way, "worker-0")
        wait_until(lambda: "ready." in raging.log("worker-0").read_text(), "worker-0 is ready")
        raging.worker("worker-1")
        campaign_id = raging.submit(RECIPIENTS)

        doubted = await cut_off_until_in_doubt(raging, way)
        if ends == "is killed":
            raging.signal_process("worker-0", signal.SIGKILL)
            raging.worker("worker-2")
        else:
            way.turn(Mood.PASS)

        await raging.until_quiet()
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM message WHERE state = 'in_doubt')",
            what="nothing is in doubt",
        )
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        assert doubted > 0
        assert found.totals["delivered"] == RECIPIENTS
        assert raging.logs_hold("late answers merged") >= 1
        assert not list((raging.directory / "servers" / "late-answers").glob("*.jsonl"))
