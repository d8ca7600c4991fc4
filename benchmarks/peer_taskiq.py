"""taskiq on a Redis stream, which acknowledges: one task a batch, the floor's HTTP calls and two updates.

taskiq worker --workers 1 --max-async-tasks 16 benchmarks.peer_taskiq:broker
"""

import asyncio
from typing import Any

import asyncpg
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from benchmarks.calls import Job, open_session, send_and_settle, tick_off
from benchmarks.peers import CONNECTIONS, drive

job = Job.read()
broker = RedisStreamBroker(url=job.redis_url, consumer_id="0")
_AT_ONCE = 100  # tasks enqueued together


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open(state: TaskiqState) -> None:
    state.pool = await asyncpg.create_pool(job.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    state.session = open_session(job.in_flight)


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def _close(state: TaskiqState) -> None:
    await state.session.close()
    await state.pool.close()


@broker.task
async def send_batch(first: int, phones: list[str]) -> None:
    """Send and settle one batch."""
    state = broker.state
    await send_and_settle(state.session, state.pool, job.base_url, range(first, first + len(phones)), phones)
    tick_off(job)


async def _whole() -> None:
    await broker.startup()

    async def enqueue(batches: Any) -> None:
        for start in range(0, len(batches), _AT_ONCE):
            await asyncio.gather(
                *(send_batch.kiq(first, phones) for first, phones in batches[start : start + _AT_ONCE])
            )

    await drive(job, enqueue)
    await broker.shutdown()


def main() -> None:
    """One run."""
    with asyncio.Runner() as runner:
        runner.run(_whole())


if __name__ == "__main__":
    from benchmarks.peer_taskiq import main as run  # the task's name must be the worker's, not __main__'s

    run()
