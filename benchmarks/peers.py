"""What the peers' drivers share: fill the table, enqueue a task a batch, wait until every row is settled."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from benchmarks.calls import BATCH_SIZE, Job, done_count, fill, read_recipients, report

CONNECTIONS = 4  # of a worker to PostgreSQL, as the floor has

Enqueue = Callable[[Sequence[tuple[int, list[str]]]], Awaitable[None]]
"""Takes batches as (id of the first recipient, recipients); enqueues a task for each."""

_LOOK_SECONDS = 0.02


async def drive(job: Job, enqueue: Enqueue) -> None:
    """One run of a peer whose worker waits for tasks, and whose table is there."""
    connection = await asyncpg.connect(job.database_url)
    try:
        started, started_cpu = time.monotonic(), time.process_time()
        recipients = read_recipients(job)
        await fill(connection, recipients)
        batches = [
            (start, recipients[start : start + BATCH_SIZE]) for start in range(0, len(recipients), BATCH_SIZE)
        ]
        await enqueue(batches)
        submitted, submitted_cpu = time.monotonic(), time.process_time()
        while done_count(job) < len(batches):  # noqa: ASYNC110  other processes make it grow
            await asyncio.sleep(_LOOK_SECONDS)
        report(
            seconds=time.monotonic() - started,
            submission_seconds=submitted - started,
            cpu_seconds=submitted_cpu - started_cpu,
        )
    finally:
        await connection.close()
