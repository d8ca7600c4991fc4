"""Calls that come at the same time are done as one group, and nobody gets another's result."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.grouping import Grouping


class Away(Exception):
    """Nothing can be done just now."""


class Doubling:
    """Doubles numbers, and remembers its groups. Holds each group until it is told to go on."""

    def __init__(self, *, refuses: frozenset[int] = frozenset(), away: int | None = None) -> None:
        self.groups: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self.may_go = asyncio.Event()
        self.refuses = refuses
        self.away = away

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        self.groups.append(list(asked))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_go.wait()
        self.at_once -= 1
        if self.away in asked:
            raise Away
        if refused := self.refuses.intersection(asked):
            raise ValueError(min(refused))
        return [2 * each for each in asked]


async def turns(count: int = 10) -> None:
    """Let every task run as far as it can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_call_alone_waits_for_no_other() -> None:
    work = Doubling()
    work.may_go.set()
    assert await Grouping(work)(4) == 8
    assert work.groups == [[4]]


async def test_a_group_waits_a_moment_for_more_calls() -> None:
    work = Doubling()
    work.may_go.set()
    grouping = Grouping(work)
    first = asyncio.ensure_future(grouping(1, 0.05))
    await turns()
    assert work.groups == []
    assert await asyncio.gather(first, grouping(2), grouping(3)) == [2, 4, 6]
    assert work.groups == [[1, 2, 3]]


async def test_a_call_that_waits_for_others_when_the_loop_is_closed_is_cancelled() -> None:
    grouping = Grouping(Doubling())
    asked = asyncio.ensure_future(grouping(1, 3600))
    await turns()
    for task in grouping._running:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await asked


async def test_what_comes_during_a_group_goes_into_the_next() -> None:
    work = Doubling()
    grouping = Grouping(work)
    first = asyncio.ensure_future(grouping(1))
    await turns()
    others = [asyncio.ensure_future(grouping(each)) for each in (2, 3, 4)]
    await turns()
    assert work.groups == [[1]]
    work.may_go.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert work.groups == [[1], [2, 3, 4]]


@given(
    asked=st.lists(st.integers(0, 500), max_size=200),
    refuses=st.frozensets(st.integers(0, 500), max_size=20),
    concurrency=st.integers(1, 3),
)
def test_everybody_gets_their_own_result(asked: list[int], refuses: frozenset[int], concurrency: int) -> None:
    async def all_of_them() -> None:
        work = Doubling(refuses=refuses)
        grouping = Grouping(work, concurrency=concurrency, split_on=(ValueError,))
        calls = [asyncio.ensure_future(grouping(each)) for each in asked]
        await turns()
        work.may_go.set()
        for each, result in zip(asked, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if each in refuses:
                assert isinstance(result, ValueError)
                assert result.args == (each,)  # its own, not another's
            else:
                assert result == 2 * each
        assert work.most_at_once <= concurrency

    with asyncio.Runner() as runner:
        runner.run(all_of_them())


async def test_an_error_that_is_not_named_is_everybodys_and_not_tried_again_one_by_one() -> None:
    work = Doubling(away=2)
    grouping = Grouping(work, split_on=(ValueError,))
    calls = [asyncio.ensure_future(grouping(each)) for each in (1, 2, 3)]
    await turns()
    work.may_go.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in found] == [Away, Away, Away]
    assert work.groups == [[1, 2, 3]]
    assert await grouping(5) == 10  # and it goes on


async def test_who_gave_up_before_the_group_began_asked_for_nothing() -> None:
    work = Doubling()
    grouping = Grouping(work)
    first = asyncio.ensure_future(grouping(1))
    await turns()
    second, third = asyncio.ensure_future(grouping(2)), asyncio.ensure_future(grouping(3))
    await turns()
    second.cancel()
    work.may_go.set()
    assert [await first, await third] == [2, 6]
    with pytest.raises(asyncio.CancelledError):
        await second
    assert work.groups == [[1], [3]]


async def test_who_gives_up_during_the_group_does_not_stop_it() -> None:
    work = Doubling()
    grouping = Grouping(work)
    first, second = asyncio.ensure_future(grouping(1)), asyncio.ensure_future(grouping(2))
    await turns()
    first.cancel()
    await turns()
    work.may_go.set()
    assert await second == 4
    assert work.groups == [[1, 2]]


async def test_a_wrong_number_of_results_is_nobodys() -> None:
    async def short(asked: Sequence[int]) -> list[int]:
        return [0] * (len(asked) - 1)

    grouping = Grouping(short)
    found = await asyncio.gather(grouping(1), grouping(2), return_exceptions=True)
    assert [type(each) for each in found] == [ValueError, ValueError]


async def test_many_are_done_in_bounded_groups() -> None:
    work = Doubling()
    work.may_go.set()
    grouping = Grouping(work)
    assert await asyncio.gather(*map(grouping, range(200))) == [2 * each for each in range(200)]
    assert max(map(len, work.groups)) <= 64
