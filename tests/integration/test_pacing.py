"""The pace of an account, on a real Redis: how many requests may leave, counted over all processes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from redis.asyncio import Redis

from campaigns.domain.provider import PaceUsedUp
from campaigns.pacing.bucket import Pace, pace_key
from tests.conftest import pace
from worker.stack.embedded.servers import ServerUrls


class Clocked(Redis):
    """A client that notes, by the clock of Redis, the moment for which each place is reserved."""

    moments: list[float]

    @classmethod
    def of(cls, url: str, moments: list[float]) -> "Clocked":
        client = cls.from_url(url)
        assert isinstance(client, cls)
        client.moments = moments
        return client

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        if arguments[0] != "EVALSHA":
            return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
        async with self.pipeline(transaction=True) as together:
            together.execute_command(*arguments, **options)
            together.time()
            (reserved, *waits), (seconds, microseconds) = await together.execute()
        if reserved:
            self.moments += [seconds + (microseconds + wait) / 1e6 for wait in waits]
        return [reserved, *waits]


async def places(wait_for_pace: Pace, *, most: int = 100) -> tuple[int, float]:
    """How many may leave at this moment without any wait, and how long the next would have to."""
    loop = asyncio.get_running_loop()
    for count in range(most):
        try:
            before = loop.time()
            await wait_for_pace()
        except PaceUsedUp as later:
            return count, later.wait_seconds
        assert loop.time() - before < 5
    raise AssertionError(f"more than {most} at once")


async def test_in_any_window_no_more_leave_than_rate_and_burst_allow(
    servers: ServerUrls, redis: Redis
) -> None:
    """Many wait at once, in several processes; whoever is refused comes back when it was told to."""
    per_second, burst, count = 25, 4, 30
    moments: list[float] = []
    async with AsyncExitStack() as stack:
        turns = []
        for _ in range(4):
            client = Clocked.of(servers.redis_client_url, moments)
            stack.push_async_callback(client.aclose)
            turns.append(pace(client, "main", per_second, burst))

        async def wait_for(wait_for_pace: Pace) -> None:
            while True:
                try:
                    return await wait_for_pace()
                except PaceUsedUp as later:
                    await asyncio.sleep(later.wait_seconds)

        async with asyncio.timeout(20):
            await asyncio.gather(*(wait_for(turns[n % 4]) for n in range(count)))

    assert len(moments) == count
    # The clock is read a moment after the script ran; part of a place is allowed for that.
    for (first, begins), (last, ends) in combinations(enumerate(sorted(moments)), 2):
        assert last - first + 1 <= (ends - begins) * per_second + burst + 0.6


async def test_after_a_pause_a_burst_may_leave_at_once(redis: Redis) -> None:
    count, wait = await places(pace(redis, "main", 0.1, burst=5))

    assert count == 5
    assert 5 < wait <= 10


async def test_a_lost_key_costs_at_most_one_burst(redis: Redis) -> None:
    wait_for_pace = pace(redis, "main", 0.1, burst=3)
    before, _ = await places(wait_for_pace)
    await redis.flushall()
    after, _ = await places(wait_for_pace)

    assert (before, after) == (3, 3)


async def test_the_key_goes_by_itself(redis: Redis) -> None:
    wait_for_pace = pace(redis, "main", 2, burst=4)
    await places(wait_for_pace)

    assert 0 < await redis.pttl(pace_key("main")) <= 4 * 500 + 1000
    assert [key async for key in redis.scan_iter()] == [pace_key("main").encode()]


async def test_a_short_wait_is_waited_and_a_long_one_is_not(redis: Redis) -> None:
    wait_for_pace = pace(redis, "main", 4.5)
    before = await now(redis)

    async def ask() -> float:
        try:
            await wait_for_pace()
        except PaceUsedUp as later:
            return -later.wait_seconds
        return await now(redis) - before

    *refused, first, second = sorted(await asyncio.gather(*(ask() for _ in range(6))))

    assert len(refused) == 4
    assert all(0.25 < -wait < 0.45 for wait in refused)  # a refusal takes no place: all are told the same
    assert first >= 0
    assert second >= 0.22


async def now(redis: Redis) -> float:
    """The clock of Redis."""
    seconds, microseconds = await redis.time()
    return float(seconds) + microseconds / 1e6


async def test_two_accounts_do_not_wait_for_each_other(redis: Redis) -> None:
    await places(pace(redis, "one", 0.1, burst=2))

    assert (await places(pace(redis, "two", 0.1, burst=2)))[0] == 2


async def test_a_pace_is_never_a_hair_faster_than_it_is_called(redis: Redis) -> None:
    """A third of a second has no end in microseconds: it is rounded up."""
    wait_for_pace = pace(redis, "main", 3, burst=2)
    ahead = []
    for _ in range(2):
        await wait_for_pace()
        ahead.append(int(await redis.get(pace_key("main")) or 0))

    assert (ahead[1] - ahead[0]) * 3 >= 1_000_000


async def test_a_clock_that_was_put_back_does_not_close_the_account(redis: Redis) -> None:
    """Seen from an hour before, the next place lies an hour ahead, where none is ever given out."""
    in_an_hour = round((await now(redis) + 3600) * 1e6)
    await redis.set(pace_key("main"), in_an_hour)
    wait_for_pace = pace(redis, "main", 0.1, burst=3)

    assert (await places(wait_for_pace))[0] == 3


async def test_a_faster_pace_than_before_need_not_wait_for_the_slow_one(redis: Redis) -> None:
    await pace(redis, "main", 0.01)()
    faster = pace(redis, "main", 0.1, burst=2)

    count, wait = await places(faster)
    assert count == 2
    assert wait <= 10


# --- Redis is away ---


Answer = Callable[[bytes], bytes | None]


@asynccontextmanager
async def impostor(answer: Answer) -> AsyncIterator[tuple[Redis, list[bytes]]]:
    """A client of something that is no Redis: it says `answer` to what it hears, and closes at None."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.append(data)
            said = answer(data)
            if said is None:
                break
            writer.write(said)
        writer.close()

    with TemporaryDirectory() as folder:
        socket = str(Path(folder) / "redis.sock")
        server = await asyncio.start_unix_server(serve, socket)
        # As the worker opens it: without retries, with short timeouts.
        client = Redis.from_url(
            f"unix://{socket}?db=0", socket_timeout=0.2, socket_connect_timeout=0.2, protocol=2
        )
        try:
            yield client, heard
        finally:
            await client.aclose()
            server.close()
            await server.wait_closed()


def greets(data: bytes) -> bytes | None:
    """Is polite to who comes, and closes when asked for a place."""
    return b"+OK\r\n" * data.count(b"SETINFO") or None


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"-LOADING Redis is loading the dataset in memory\r\n",
        lambda _: b"-MISCONF no space left\r\n",
        lambda _: None,
        lambda _: b"",
        greets,
    ],
    ids=["loading", "disk full", "closes", "hangs", "closes when asked"],
)
async def test_without_redis_it_is_nobodys_turn(answer: Answer) -> None:
    """Without a pace nothing is sent."""
    async with impostor(answer) as (client, _), asyncio.timeout(5):
        with pytest.raises(PaceUsedUp) as later:
            await pace(client, "main", 1)()

    assert later.value.wait_seconds == 2


async def test_a_redis_that_is_not_there_makes_it_nobodys_turn(tmp_path: Path) -> None:
    client = Redis.from_url(f"unix://{tmp_path}/none.sock")
    with pytest.raises(PaceUsedUp):
        await pace(client, "main", 1)()
    await client.aclose()


async def test_a_place_is_asked_for_once() -> None:
    """A script whose answer is lost may have taken a place; asking again would take a second."""
    async with impostor(greets) as (client, heard):
        with pytest.raises(PaceUsedUp):
            await pace(client, "main", 1)()

    assert sum(data.count(b"EVALSHA") for data in heard) == 1


async def test_a_waiter_that_is_stopped_leaves_the_client_usable(redis: Redis) -> None:
    wait_for_pace = pace(redis, "main", 1000)
    for wait in range(12):
        task = asyncio.ensure_future(wait_for_pace())
        for _ in range(wait):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(5):
            await wait_for_pace()
