"""procrastinate: jobs in PostgreSQL, one task a batch, the floor's HTTP calls and its two updates.

procrastinate --app benchmarks.peer_procrastinate.app worker --concurrency 16
"""

import asyncio
from typing import Any

import aiohttp
import asyncpg
from procrastinate import App, PsycopgConnector

from benchmarks.calls import Job, open_session, send_and_settle, tick_off
from benchmarks.peers import CONNECTIONS, drive

job = Job.read()
app = App(connector=PsycopgConnector(conninfo=job.database_url))
_AT_ONCE = 100  # jobs deferred in one statement


class _Tools:
    """The worker's own pool and session: made by its first job, on its loop."""

    def __init__(self) -> None:
        self._opening: asyncio.Task[tuple[asyncpg.Pool, aiohttp.ClientSession]] | None = None

    async def get(self) -> tuple[asyncpg.Pool, aiohttp.ClientSession]:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await self._opening

    @staticmethod
    async def _open() -> tuple[asyncpg.Pool, aiohttp.ClientSession]:
        pool = await asyncpg.create_pool(job.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
        return pool, open_session(job.in_flight)


_tools = _Tools()


@app.task
async def send_batch(first: int, phones: list[str]) -> None:
    """Send and settle one batch."""
    pool, session = await _tools.get()
    await send_and_settle(session, pool, job.base_url, range(first, first + len(phones)), phones)
    tick_off(job)


async def _whole() -> None:
    async def enqueue(batches: Any) -> None:
        for start in range(0, len(batches), _AT_ONCE):
            await send_batch.batch_defer_async(
                *({"first": first, "phones": phones} for first, phones in batches[start : start + _AT_ONCE])
            )

    async with app.open_async():
        await drive(job, enqueue)


def main() -> None:
    """One run."""
    with asyncio.Runner() as runner:
        runner.run(_whole())


if __name__ == "__main__":
    from benchmarks.peer_procrastinate import (
        main as run,
    )  # the task's name must be the worker's, not __main__'s

    run()
