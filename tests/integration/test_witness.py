"""The second witness on a real Redis: which attempt of which message left."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from campaigns.domain.errors import WitnessUnavailable
from campaigns.pacing.witness import RedisWitness, marks_key
from tests.integration.witnessing import LossyRedis, lossy_redis
from worker.stack.embedded.servers import ServerUrls

A, B = UUID(int=10), UUID(int=11)
GIVE_UP_SECONDS = 3600.0
REAL_REDIS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def witness(redis: Redis) -> RedisWitness:
    return RedisWitness(redis, give_up_seconds=GIVE_UP_SECONDS)


@pytest.fixture
async def lossy(servers: ServerUrls, redis: Redis) -> AsyncIterator[LossyRedis]:
    """An empty Redis that may lose answers."""
    async with lossy_redis(servers.redis_client_url) as client:
        yield client


async def test_an_attempt_leaves_once_and_the_next_one_may(witness: RedisWitness) -> None:
    assert await witness.mark(A, 1, {0: 1, 7: 1, 99: 1}) == {}
    assert await witness.mark(A, 1, {7: 1, 8: 1, 99: 2}) == {7: 1}
    assert await witness.mark(A, 1, {8: 1, 99: 1}) == {8: 1, 99: 2}


async def test_batches_and_campaigns_are_told_apart(witness: RedisWitness) -> None:
    assert await witness.mark(A, 1, {99: 1}) == {}
    assert await witness.mark(A, 2, {0: 1, 99: 1}) == {}
    assert await witness.mark(B, 1, {99: 1}) == {}
    assert await witness.mark(A, 10_000, {99: 1}) == {}
    assert await witness.mark(A, 10_000, {99: 1}) == {99: 1}


async def test_an_attempt_that_is_taken_back_may_be_made_again(witness: RedisWitness) -> None:
    await witness.mark(A, 1, {3: 2, 4: 2})

    await witness.take_back(A, 1, {3: 2})

    assert await witness.mark(A, 1, {3: 2, 4: 2}) == {4: 2}


async def test_an_attempt_taken_back_late_does_not_touch_a_later_one(witness: RedisWitness) -> None:
    await witness.mark(A, 1, {3: 1})
    await witness.mark(A, 1, {3: 2})

    await witness.take_back(A, 1, {3: 1})

    assert await witness.mark(A, 1, {3: 2}) == {3: 2}


async def test_nothing_is_marked_by_taking_back(witness: RedisWitness, redis: Redis) -> None:
    """Redis was wiped since."""
    await witness.take_back(A, 1, {3: 1})

    assert await redis.keys("campaigns:left:*") == []
    assert await witness.mark(A, 1, {3: 1}) == {}


async def test_beyond_what_a_byte_counts_everything_may_leave(witness: RedisWitness) -> None:
    assert await witness.mark(A, 1, {0: 254}) == {}
    assert await witness.mark(A, 1, {0: 254}) == {0: 254}
    for attempt in (255, 256, 256, 30_000):
        assert await witness.mark(A, 1, {0: attempt}) == {}
    await witness.take_back(A, 1, {0: 30_000})
    assert await witness.mark(A, 1, {0: 30_000}) == {}
    assert await witness.mark(A, 1, {0: 254}) == {0: 255}


async def test_marks_outlive_the_deadline_and_go_by_themselves(witness: RedisWitness, redis: Redis) -> None:
    await witness.mark(A, 1, {0: 1})

    left = await redis.pttl(marks_key(A)) / 1000
    assert GIVE_UP_SECONDS + 86_000 < left <= GIVE_UP_SECONDS + 86_400


async def test_a_message_costs_a_byte(witness: RedisWitness, redis: Redis) -> None:
    for number in range(1, 1001):
        await witness.mark(A, number, dict.fromkeys(range(100), 1))

    assert await redis.strlen(marks_key(A)) == 100_000
    assert await redis.memory_usage(marks_key(A)) < 2 * 100_000  # it grows ahead, by doubling


async def test_batches_that_ask_together_are_answered_each_for_itself(witness: RedisWitness) -> None:
    await witness.mark(A, 3, {1: 1})

    answers = await asyncio.gather(*(witness.mark(A, number, {0: 1, 1: 1}) for number in range(1, 40)))

    assert answers == [{1: 1} if number == 3 else {} for number in range(1, 40)]


async def test_a_lost_answer_is_given_when_asked_again(lossy: LossyRedis) -> None:
    witness = RedisWitness(lossy, give_up_seconds=GIVE_UP_SECONDS)
    await witness.mark(A, 1, {0: 1, 2: 5})  # the script is known from here on
    lossy.lost = 2

    assert await witness.mark(A, 1, {0: 1, 1: 1, 2: 4}) == {0: 1, 2: 5}
    assert lossy.lost == 0
    lossy.lost = 2
    await witness.take_back(A, 1, {1: 1, 2: 5})
    assert await witness.mark(A, 1, {1: 1, 2: 4}) == {2: 4}


async def test_without_an_answer_it_is_not_known_whether_it_was_noted(lossy: LossyRedis) -> None:
    witness = RedisWitness(lossy, give_up_seconds=GIVE_UP_SECONDS, ask_again_seconds=[0])
    await witness.mark(B, 1, {0: 1})  # the script is known from here on
    lossy.lost = 2
    with pytest.raises(WitnessUnavailable):
        await witness.mark(A, 1, {0: 1})
    assert await witness.mark(A, 1, {0: 1}) == {0: 1}


async def test_an_answer_is_kept_no_longer_than_it_may_be_asked_for(
    witness: RedisWitness, redis: Redis
) -> None:
    await witness.mark(A, 1, {0: 1})

    (key,) = await redis.keys("campaigns:answer:*")
    assert 0 < await redis.pttl(key) <= 60_000


marks = st.tuples(
    st.booleans(),  # mark, or take back
    st.integers(1, 3),
    st.dictionaries(st.integers(0, 99), st.integers(1, 300), min_size=1, max_size=8),
)


@REAL_REDIS
@given(st.lists(marks, max_size=30))
async def test_it_remembers_what_a_plain_table_would(
    servers: ServerUrls, steps: list[tuple[bool, int, dict[int, int]]]
) -> None:
    """A mark only rises, but where just this attempt is taken back."""
    table: Counter[tuple[int, int]] = Counter()
    async with Redis.from_url(servers.redis_client_url) as client:
        await client.flushdb()
        witness = RedisWitness(client, give_up_seconds=GIVE_UP_SECONDS)
        for is_mark, number, attempts in steps:
            capped = {(number, position): min(attempt, 255) for position, attempt in attempts.items()}
            if is_mark:
                seen = {at: table[at] for at, attempt in capped.items() if table[at] >= attempt < 255}
                table |= capped
                expected = {position: mark for (_, position), mark in seen.items()}
                assert await witness.mark(A, number, attempts) == expected
            else:
                await witness.take_back(A, number, attempts)
                table.update({at: -1 for at, attempt in capped.items() if table[at] == attempt})


@REAL_REDIS
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(1, 4)), max_size=40))
async def test_each_attempt_leaves_at_most_once_however_two_workers_interleave(
    servers: ServerUrls, asked: list[tuple[int, int, int]]
) -> None:
    left: Counter[tuple[int, int]] = Counter()
    async with (
        Redis.from_url(servers.redis_client_url) as one,
        Redis.from_url(servers.redis_client_url) as two,
    ):
        await one.flushdb()
        workers = [RedisWitness(each, give_up_seconds=GIVE_UP_SECONDS) for each in (one, two)]

        async def leave(worker: int, position: int, attempt: int) -> None:
            if not await workers[worker].mark(A, 1, {position: attempt}):
                left[position, attempt] += 1

        await asyncio.gather(*(leave(*each) for each in asked))
    assert all(count == 1 for count in left.values())
