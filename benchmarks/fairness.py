"""How long a small campaign waits: one beside a large one on the same account, and twenty at once."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks import ours
from benchmarks.calls import Job, report
from benchmarks.ground import Ground, Refused, say
from benchmarks.rivals import OURS, session
from benchmarks.table import Row, Spread, at_most
from worker.bootstrap import Parts

_SMALL = 50
_CAMPAIGNS = 20
_SECONDS = at_most(2)
_BEFORE_THE_FIRST_ENDS = at_most(1)
_LOOK_SECONDS = 0.05
_UNDER_WAY = 0.05  # share of the large campaign that has been handed over when the small one comes
_HANDED_OVER = (  # by the tallies: a look costs a hundredth of counting messages
    "SELECT sum(message_count - queued_count - sending_count) FROM batch WHERE campaign_id = $1"
)
_BEGUN_AND_ENDED = (
    "SELECT count(*) FILTER (WHERE begun), count(*) FILTER (WHERE ended) FROM ("
    " SELECT c.finished_at IS NOT NULL AS ended, bool_or(b.queued_count < b.message_count) AS begun"
    " FROM campaign c JOIN batch b ON b.campaign_id = c.id GROUP BY c.id) AS one"
)


def measure(ground: Ground, *, large: int, many: int, repeat: int, limit_seconds: float) -> list[Row]:
    """A campaign of 50 beside one of `large`; twenty campaigns of `many` / 20 at once."""
    waited, begun, first_end = [], [], []
    for turn in range(repeat):
        found = _beside(ground, large, limit_seconds)
        waited.append(found["handed_over_seconds"])
        say(f"[fairness] round {turn + 1}/{repeat}: handed over after {waited[-1]:.2f} s")
        found = _at_once(ground, many // _CAMPAIGNS, limit_seconds)
        begun.append(found["begun_seconds"])
        first_end.append(found["first_end_seconds"])
        say(
            f"[fairness] round {turn + 1}/{repeat}: {_CAMPAIGNS} campaigns, all begun after"
            f" {begun[-1]:.2f} s, the first ended after {first_end[-1]:.2f} s"
        )
    return [
        Row(
            f"ours: a campaign of {_SMALL} submitted beside a large one, handed over whole",
            f"{large:,} recipients on the same account",
            Spread.of(waited),
            "s after its submission",
            goal=_SECONDS,
        ),
        Row(
            f"ours: {_CAMPAIGNS} campaigns at once, until the last has begun",
            f"{many // _CAMPAIGNS:,} recipients each",
            Spread.of(begun),
            "s after the first has",
            "until the first ends",
            Spread.of(begun).over(Spread.of(first_end)),
            _BEFORE_THE_FIRST_ENDS,
        ),
    ]


def _beside(ground: Ground, large: int, limit_seconds: float) -> dict[str, Any]:
    small_file = ground.recipients(_SMALL, first=large)
    with session(ground, OURS, limit_seconds=limit_seconds) as racing:
        found = racing.drive(
            ground.recipients(large), sys.executable, "-m", "benchmarks.fairness", "beside", str(small_file)
        )
        if found["large_ended"]:
            raise Refused(
                f"the large campaign ended before the small one: {large:,} are too few for this machine"
            )
        racing.check(large + _SMALL)
    return found


def _at_once(ground: Ground, size: int, limit_seconds: float) -> dict[str, Any]:
    files = [str(ground.recipients(size, first=size * number)) for number in range(_CAMPAIGNS)]
    worker = [process for process in OURS.processes if process.name == "worker"]
    beat = [process for process in OURS.processes if process.name == "beat"]
    with session(ground, OURS, processes=worker, limit_seconds=limit_seconds) as racing:
        # Nothing moves before the first tick: all of them begin together.
        racing.drive(Path(files[0]), sys.executable, "-m", "benchmarks.fairness", "submit", *files)
        racing.start(*beat)
        found = racing.drive(Path(files[0]), sys.executable, "-m", "benchmarks.fairness", "watch")
        racing.check(size * _CAMPAIGNS)
    return found


# --- what is measured, in a process with our settings --------------------------------------------------


async def _handed_over(parts: Parts, campaign_id: UUID, count: float) -> bool:
    return bool(await ours.ask(parts, _HANDED_OVER, campaign_id) >= count)


async def _large_then_small(parts: Parts) -> None:
    job, small_file = Job.read(), sys.argv[2]
    large = await ours.submit(parts, job.recipients_file, name="large")
    enough = large.recipient_count * _UNDER_WAY
    await ours.wait_for(lambda: _handed_over(parts, large.id, enough))
    began = time.monotonic()
    small = await ours.submit(parts, small_file, name="small")
    submitted = time.monotonic()
    await ours.wait_for(lambda: _handed_over(parts, small.id, small.recipient_count))
    handed_over = time.monotonic()
    ended = await ours.ask(parts, "SELECT finished_at IS NOT NULL FROM campaign WHERE id = $1", large.id)
    await ours.finished(parts, small.id)
    await ours.finished(parts, large.id)
    report(
        handed_over_seconds=handed_over - submitted,
        submission_seconds=submitted - began,
        large_ended=ended,
    )


async def _submit(parts: Parts) -> None:
    for file in sys.argv[2:]:
        await ours.submit(parts, file)
    report()


async def _watch(parts: Parts) -> None:
    first = all_begun = first_end = 0.0
    while not (all_begun and first_end):
        async with parts.database.connection() as connection:
            row = await connection.fetchrow(_BEGUN_AND_ENDED)
            assert row is not None  # a count always gives one
            begun, ended = row
        now = time.monotonic()
        if begun and not first:
            first = now
        if begun == _CAMPAIGNS and not all_begun:
            all_begun = now
        if ended and not first_end:
            first_end = now
        await asyncio.sleep(_LOOK_SECONDS)
    await ours.wait_for(
        lambda: ours.ask(parts, "SELECT NOT EXISTS (SELECT 1 FROM campaign WHERE finished_at IS NULL)")
    )
    report(begun_seconds=all_begun - first, first_end_seconds=max(first_end - first, _LOOK_SECONDS))


if __name__ == "__main__":
    ours.with_parts({"beside": _large_then_small, "submit": _submit, "watch": _watch}[sys.argv[1]])
