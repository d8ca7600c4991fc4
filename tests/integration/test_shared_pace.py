"""Sends and questions of one account, on a real Redis: neither starves the other."""

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from campaigns.domain.provider import PaceUsedUp
from campaigns.pacing.bucket import Kind, Line, Pace, pace_key
from tests.waiting import until

PER_SECOND = 20


def shared(redis: Redis, kind: Kind, per_second: float = PER_SECOND) -> Pace:
    """One side of the pace of account `main`, as one process has it."""
    return Pace(redis, pace_key("main"), requests_per_second=per_second, burst=1, kind=kind, is_patient=True)


async def send_eagerly(pace: Pace, left: Counter[str]) -> None:
    """As a batch does: whoever is told to wait comes back a little later than told."""
    while True:
        try:
            await pace()
        except PaceUsedUp as later:
            await asyncio.sleep(later.wait_seconds + 0.03)
        else:
            left["send"] += 1


async def ask_eagerly(line: Line, left: Counter[str]) -> None:
    while True:
        await line.wait(asyncio.get_running_loop().time() + 60)
        left["question"] += 1


async def left_of(redis: Redis, *, senders: int, askers: int, slots: int = 40) -> Counter[str]:
    """Let so many want slots at once, in two processes, until so many were had."""
    left: Counter[str] = Counter()
    sending = [shared(redis, Kind.SENDS) for _ in range(2)]
    lines = [Line(shared(redis, Kind.QUESTIONS)) for _ in range(2)]
    tasks = [asyncio.ensure_future(send_eagerly(sending[n % 2], left)) for n in range(senders)]
    tasks += [asyncio.ensure_future(ask_eagerly(lines[n % 2], left)) for n in range(askers)]
    try:
        await until(lambda: left.total() >= slots)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return left


@pytest.mark.parametrize(("senders", "askers"), [(1, 60), (60, 10), (10, 10)])
async def test_however_many_want_slots_both_have_some(redis: Redis, senders: int, askers: int) -> None:
    left = await left_of(redis, senders=senders, askers=askers)

    assert left["send"] >= 12, left
    assert left["question"] >= 8, left


async def test_alone_questions_have_all_of_the_pace(redis: Redis) -> None:
    loop = asyncio.get_running_loop()
    begins = loop.time()
    left = await left_of(redis, senders=0, askers=50)

    assert left["question"] >= 40
    assert loop.time() - begins < 40 / PER_SECOND * 2


async def test_a_slow_pace_starves_neither(redis: Redis) -> None:
    """A slot in four seconds: longer than anybody waits for one that is reserved."""
    sends, line = shared(redis, Kind.SENDS, 0.25), Line(shared(redis, Kind.QUESTIONS, 0.25))
    left: Counter[str] = Counter()
    tasks = [asyncio.ensure_future(send_eagerly(sends, left)) for _ in range(3)]
    tasks += [asyncio.ensure_future(ask_eagerly(line, left)) for _ in range(3)]
    try:
        await until(lambda: left.total() >= 4, seconds=60)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert min(left["send"], left["question"]) >= 1, left


async def test_a_question_that_finds_no_slot_in_time_says_so_in_time(redis: Redis) -> None:
    line = Line(shared(redis, Kind.QUESTIONS, per_second=0.1))
    loop = asyncio.get_running_loop()
    await line.wait(loop.time() + 30)
    begins = loop.time()
    with pytest.raises(PaceUsedUp):
        await line.wait(begins + 5)

    assert loop.time() - begins < 5
