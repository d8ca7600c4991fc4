"""arq: one task a batch, the floor's HTTP calls and its two updates.

arq benchmarks.peer_arq.WorkerSettings
"""

import asyncio
from typing import Any, ClassVar

import asyncpg
from arq.connections import RedisSettings, create_pool

from benchmarks.calls import Job, open_session, send_and_settle, tick_off
from benchmarks.peers import CONNECTIONS, drive

job = Job.read()
_REDIS = RedisSettings(unix_socket_path=job.redis_url.removeprefix("unix://").partition("?")[0])
_AT_ONCE = 100  # jobs enqueued together


async def send_batch(context: dict[str, Any], first: int, phones: list[str]) -> None:
    """Send and settle one batch."""
    await send_and_settle(
        context["session"], context["pool"], job.base_url, range(first, first + len(phones)), phones
    )
    tick_off(job)


async def _open(context: dict[str, Any]) -> None:
    context["pool"] = await asyncpg.create_pool(job.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    context["session"] = open_session(job.in_flight)


async def _close(context: dict[str, Any]) -> None:
    await context["session"].close()
    await context["pool"].close()


class WorkerSettings:
    """The worker: as many jobs at once as the others, and results kept by nobody."""

    functions: ClassVar = [send_batch]
    redis_settings = _REDIS
    max_jobs = job.in_flight
    keep_result = 0
    poll_delay = 0.05  # of the default 0.5 s it would mostly sleep
    on_startup = _open
    on_shutdown = _close


async def _whole() -> None:
    redis = await create_pool(_REDIS)

    async def enqueue(batches: Any) -> None:
        for start in range(0, len(batches), _AT_ONCE):
            await asyncio.gather(
                *(
                    redis.enqueue_job("send_batch", first, phones)
                    for first, phones in batches[start : start + _AT_ONCE]
                )
            )

    await drive(job, enqueue)
    await redis.aclose()


def main() -> None:
    """One run."""
    with asyncio.Runner() as runner:
        runner.run(_whole())


if __name__ == "__main__":
    main()
