"""Redis: whether it takes what we write, and what it does when it is full."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004  Redis's own, which is no OSError
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  the line above
)

from worker.broker import aside_tasks
from worker.cli.doctor.findings import Finding, fail, note, ok
from worker.queues import QUEUE_OF, QUEUES, SUBMIT

_KEY = "campaigns:doctor"
_SCRIPT = "redis.call('SET', KEYS[1], 'x', 'EX', 10); return redis.call('DEL', KEYS[1])"

# The first release of each line without known exploitable bugs.
_SOUND = {
    "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}

_MENDS: tuple[tuple[type[RedisError], str], ...] = (  # the first that fits
    (AuthenticationError, "mend user and password in CAMPAIGNS_REDIS_URL"),
    (ConnectionError, "start it, or mend CAMPAIGNS_REDIS_URL"),
    (TimeoutError, "is the way to it open?"),
    (ReadOnlyError, "it is a replica: CAMPAIGNS_REDIS_URL must lead to the primary"),
    (
        OutOfMemoryError,
        "raise maxmemory, or let it evict (maxmemory-policy allkeys-lru): we lose time by it only",
    ),
    (NoPermissionError, "give its user what docs/operating.md lists under Redis"),
)


async def redis(client: Redis, where: str) -> list[Finding]:
    """Whether it takes a write and a script, what it is, and how many tasks wait in it."""
    try:
        await client.ping()
    except RedisError as error:
        return [fail("redis", f"{str(error).rstrip('.')} ({where}){_mend(error)}")]
    info, remark = await _info(client)
    kind, version = _version(info)
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1:
        return [
            fail(
                "redis",
                "it is a cluster, and a task's keys lie in several of its slots: have CAMPAIGNS_REDIS_URL "
                "lead to a single Redis (with a replica and Sentinel behind a proxy, see docs/operating.md)",
            )
        ]
    try:
        await client.set(_KEY, "x", ex=10)
        await client.eval(_SCRIPT, 1, _KEY)
    except ResponseError as error:
        return [fail("redis", f"it takes no write: {error}{_mend(error)}")]
    lengths = {queue: await client.llen(queue) for queue in QUEUES}
    waiting = ", ".join(f"{count} in {queue}" for queue, count in lengths.items() if count) or "no task waits"
    findings = [ok("redis", f"{kind} {version}, {where}; {waiting}"), *await _tasks(client)]
    return [*findings, *(note("redis", each) for each in [*remark, *_remarks(info, kind, version)])]


async def _tasks(client: Redis) -> list[Finding]:
    found: list[Finding] = []
    with suppress(NoPermissionError):  # a Redis user set up for an older release may not see it
        found += await _aside(client)
    with suppress(NoPermissionError):  # it need not: that queue is not ours
        found += await _stranded(client)
    return found


async def _aside(client: Redis) -> list[Finding]:
    if count := await aside_tasks.count(client):
        return [fail("tasks", f"{count} task(s) set aside: campaigns aside list")]
    return []


async def _stranded(client: Redis) -> list[Finding]:
    if count := await aside_tasks.stranded(client):
        return [
            fail(
                "tasks",
                f"{count} submission(s) wait in the queue {aside_tasks.NOBODYS}, which is not ours: "
                f'their sender must name queue="{QUEUE_OF[SUBMIT]}"',
            )
        ]
    return []


def _mend(error: RedisError) -> str:
    if isinstance(error.__cause__, RedisError):  # the client wraps what the server said at the start
        error = error.__cause__
    return next((f"; {mend}" for kind, mend in _MENDS if isinstance(error, kind)), "")


async def _info(client: Redis) -> tuple[Mapping[str, Any], list[str]]:
    try:
        return await client.info(), []
    except NoPermissionError:
        return {}, ["its user may not ask INFO, so version, memory and role were not looked at"]


def _version(info: Mapping[str, Any]) -> tuple[str, str]:
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        return "Valkey", str(info.get("valkey_version", "of unknown version"))
    return "Redis", str(info.get("redis_version", "of unknown version"))


def _remarks(info: Mapping[str, Any], kind: str, version: str) -> list[str]:
    remarks = []
    parts = [int(part) for part in version.split(".") if part.isdigit()]
    if len(parts) == 3:
        line, patch = (parts[0], parts[1]), parts[2]
        sound = _SOUND[kind].get(line)
        if sound is not None and patch < sound:
            remarks.append(
                f"{kind} {version} has known holes (whoever may run a script may run code): "
                f"{line[0]}.{line[1]}.{sound} mends them"
            )
        elif sound is None and line < max(_SOUND[kind]):
            remarks.append(f"{kind} {line[0]}.{line[1]} is mended no more by its makers: use a newer line")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    policy = str(info.get("maxmemory_policy", ""))
    if most and policy == "noeviction" and used > 0.8 * most:
        remarks.append(f"it is nearly full ({100 * used // most}% of maxmemory), and then takes no write")
    if most and policy.startswith(("allkeys", "volatile")) and int(info.get("evicted_keys", 0)):
        remarks.append(f"it has thrown keys away for want of memory ({policy}): that costs time, no message")
    return remarks
