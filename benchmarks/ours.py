"""Ours: from `submit` to `finished`, through the real worker and beat.

The worker and beat run by the README's own commands with their own defaults; only what would wait on
purpose is set otherwise (see `SETTINGS`). This driver submits as `campaigns submit` does, in a process
that has its imports behind it, as every rival's driver has.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from benchmarks.calls import PERSONAL_TEXT, TEXT, Job, report
from campaigns import submission
from campaigns.domain.policy import BATCH_SIZE
from campaigns.domain.recipients import read_recipients
from campaigns.store.submission import TakenIn
from worker.bootstrap import Parts
from worker.runtime import run_once
from worker.settings.reading import load_settings
from worker.stack.location import located

SETTINGS: dict[str, str] = {
    # The pace is asked for before every request, and never says wait.
    "ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "10000",
    "ACCOUNTS__MAIN__BURST": "1000",
    # The simulator knows the final word at once; the default would let 10 s pass before the first question.
    "POLL__FIRST_SECONDS": "0.1",
    "POLL__MAX_SECONDS": "1",
    # Where each recipient has a text of its own: at the pace that is set here one request at a time is few.
    "ACCOUNTS__MAIN__CONCURRENCY": "10",
    "LOG_FORMAT": "json",
}
"""What the runs set besides addresses. All else, the worker's 16 threads and the tick of a second among
it, is the default."""

COUNT_UNSETTLED = "SELECT count(*) FROM message WHERE state <> 'delivered'"
COUNT_ALL = "SELECT count(*) FROM message"

_LOOK_SECONDS = 0.02
_SLICE_BYTES = 65_536
_T = TypeVar("_T")


async def submit(
    parts: Parts,
    recipients_file: str,
    *,
    text: str = TEXT,
    name: str = "benchmark",
    batch_size: int = BATCH_SIZE,
) -> TakenIn:
    """Submit a file as the command does."""
    wanted = submission.Submission(
        account=parts.settings.terms("main"),
        text=text,
        sender_id=None,
        name=name,
    )
    with Path(recipients_file).open("rb") as stream:  # noqa: ASYNC230  as the command does: nothing else runs here
        reader = read_recipients(
            iter(lambda: stream.read(_SLICE_BYTES), b""), format=None, name=recipients_file
        )
        return await submission.submit(
            parts.database, parts.desk.policy, wanted, reader, batch_size=batch_size
        )


async def ask(parts: Parts, query: str, *arguments: Any) -> Any:
    """One value."""
    async with parts.database.connection() as connection:
        return await connection.fetchval(query, *arguments)


async def wait_for(look: Callable[[], Awaitable[_T]], *, every: float = _LOOK_SECONDS) -> _T:
    """Look until there is something. The harness sets the limit."""
    while True:
        found = await look()
        if found:
            return found
        await asyncio.sleep(every)


async def finished(parts: Parts, campaign_id: UUID) -> None:
    """Wait until a campaign is over: on one connection, for asking costs what is being measured."""
    async with parts.database.own_connection() as connection:
        over = partial(connection.fetchval, "SELECT finished_at FROM campaign WHERE id = $1", campaign_id)
        await wait_for(over)


def with_parts(work: Callable[[Parts], Awaitable[_T]]) -> _T:
    """Run `work` with the parts of a command, connected."""

    async def whole(parts: Parts) -> _T:
        await ask(parts, "SELECT 1")
        return await work(parts)

    return run_once(located(load_settings()), whole)


async def _nothing(_parts: Parts, _campaign_id: UUID) -> None:
    """What happens while the campaign runs, by default: nothing but waiting for its end."""


def main(meanwhile: Callable[[Parts, UUID], Awaitable[None]] = _nothing) -> None:
    """One run. Takes what is to happen while the campaign runs."""
    job = Job.read()

    async def work(parts: Parts) -> None:
        started, started_cpu = time.monotonic(), time.process_time()
        taken = await submit(parts, job.recipients_file, text=PERSONAL_TEXT if job.is_personal else TEXT)
        submitted, submitted_cpu = time.monotonic(), time.process_time()
        beside = asyncio.ensure_future(meanwhile(parts, taken.id))
        await finished(parts, taken.id)
        ended = time.monotonic()
        await beside
        report(
            seconds=ended - started,
            submission_seconds=submitted - started,
            cpu_seconds=submitted_cpu - started_cpu,
        )

    with_parts(work)


if __name__ == "__main__":
    main()
