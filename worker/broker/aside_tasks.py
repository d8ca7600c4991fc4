"""Messages that are not valid tasks: kept in Redis unchanged, with the reason, until an operator decides.

Two hashes by number: what is known of each message, and the message itself. They stay in Redis, where they
were before, so setting one aside neither loses it nor needs more memory.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.queues import QUEUE_OF, SUBMIT

if TYPE_CHECKING:
    from redis import Redis as SyncRedis
    from redis.asyncio import Redis

ABOUT = "campaigns.aside"
MESSAGES = "campaigns.aside.messages"
NUMBER = "campaigns.aside.number"
NOBODYS = "celery"
"""Celery's own default queue: a submission that names no queue lands there, and none of our workers serves
it."""
_PEEK = 100
MOST = 10_000
"""Above it only possible submissions are kept. The oldest stay: they show the cause best."""


@dataclass(frozen=True, slots=True)
class AsideTask:
    """One of them. `task` and `task_id` are empty where they could not be read."""

    number: int
    set_aside_at: datetime
    reason: str
    task: str
    task_id: str
    queue: str
    size_bytes: int


def keep(redis: "SyncRedis", raw: bytes, *, queue: str, reason: str, task: str, task_id: str) -> int | None:
    """Set a message aside. Gives its number, or None if there are too many and it is no submission.

    Raises RedisError; the message is then not kept.
    """
    if task not in ("", SUBMIT) and int(redis.hlen(ABOUT)) >= MOST:
        return None
    number = int(redis.incr(NUMBER))
    about = {
        "at": time.time(),
        "reason": reason,
        "task": task,
        "id": task_id,
        "queue": queue,
        "bytes": len(raw),
    }
    pipe = redis.pipeline(transaction=True)
    pipe.hset(MESSAGES, str(number), raw)
    pipe.hset(ABOUT, str(number), json.dumps(about))
    pipe.execute()
    return number


async def count(redis: "Redis") -> int:
    """How many are set aside, for `doctor`."""
    return int(await redis.hlen(ABOUT))


async def stranded(redis: "Redis") -> int:
    """How many of the next 100 messages in Celery's default queue are submissions, for `doctor`."""
    if await redis.type(NOBODYS) != b"list":
        return 0
    waiting = await redis.lrange(NOBODYS, -_PEEK, -1)
    return sum(f'"task": "{SUBMIT}"'.encode() in raw for raw in waiting)


async def listed(redis: "Redis", *, limit: int) -> list[AsideTask]:
    """The oldest, oldest first."""
    numbers = sorted(map(int, await redis.hkeys(ABOUT)))[:limit]
    if not numbers:
        return []
    found = await redis.hmget(ABOUT, [str(number) for number in numbers])
    return [_read(number, about) for number, about in zip(numbers, found, strict=True) if about is not None]


async def retry(redis: "Redis", numbers: Sequence[int]) -> list[int]:
    """Put these back into their queues. Gives the numbers that were found; a message that is still not valid
    is set aside again, with a new number.
    """
    done = []
    for number in numbers:
        about, raw = await redis.hget(ABOUT, str(number)), await redis.hget(MESSAGES, str(number))
        if about is None or raw is None:
            continue
        queue = json.loads(about)["queue"]
        async with redis.pipeline(transaction=True) as pipe:
            pipe.lpush(queue if queue in QUEUE_OF.values() else QUEUE_OF[SUBMIT], raw)
            pipe.hdel(ABOUT, str(number))
            pipe.hdel(MESSAGES, str(number))
            await pipe.execute()
        done.append(number)
    return done


async def drop(redis: "Redis", numbers: Sequence[int]) -> list[int]:
    """Delete these for good. Gives the numbers that were found."""
    done = []
    for number in numbers:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hdel(ABOUT, str(number))
            pipe.hdel(MESSAGES, str(number))
            if (await pipe.execute())[0]:
                done.append(number)
    return done


def _read(number: int, about: Any) -> AsideTask:
    known = json.loads(about)
    return AsideTask(
        number,
        datetime.fromtimestamp(known["at"], UTC),
        known["reason"],
        known["task"],
        known["id"],
        known["queue"],
        known["bytes"],
    )
