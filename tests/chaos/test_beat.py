"""Scenario 6: beat is missing, doubled, or ends in the middle of a publish."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.proxy import Mood, link
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.chaos.underway import arrives, last_for, moves_on, pace_for, tell
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


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
