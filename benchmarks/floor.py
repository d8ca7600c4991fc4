"""The floor: one asyncio process, no queue, no crash safety, the plainest set-based SQL.

Reads the CSV, COPYs the rows in, sends batches of 100 with bare aiohttp, writes ids back, asks for
statuses, writes them back; so many batches at once as the others have requests in flight. Killed at any
moment it has lost who was sent to: that is what the difference to it buys.
"""

import asyncio
import time

import asyncpg

from benchmarks.calls import BATCH_SIZE, Job, fill, open_session, read_recipients, report, send_and_settle

_CONNECTIONS = 4  # 1 to 16 make no difference where a commit is cheap; where it is not, a few help


async def _whole(job: Job) -> None:
    async with (
        asyncpg.create_pool(job.database_url, min_size=_CONNECTIONS, max_size=_CONNECTIONS) as pool,
        open_session(job.in_flight) as session,
    ):
        started, started_cpu = time.monotonic(), time.process_time()
        recipients = read_recipients(job)
        await fill(pool, recipients)
        submitted = time.monotonic()
        starts = iter(range(0, len(recipients), BATCH_SIZE))

        async def lane() -> None:
            for start in starts:  # shared: each takes the next
                batch = recipients[start : start + BATCH_SIZE]
                await send_and_settle(session, pool, job.base_url, range(start, start + len(batch)), batch)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(job.in_flight):
                lanes.create_task(lane())
        ended = time.monotonic()
    report(
        seconds=ended - started,
        submission_seconds=submitted - started,
        cpu_seconds=time.process_time() - started_cpu,
    )


def main() -> None:
    """One run."""
    with asyncio.Runner() as runner:
        runner.run(_whole(Job.read()))


if __name__ == "__main__":
    main()
