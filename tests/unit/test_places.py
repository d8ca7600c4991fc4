"""Places: so many batches at each part of their way, and none is lost or kept for nothing."""

import asyncio

import pytest

from campaigns.places import Places, Way


class Walker:
    """One batch on its way; goes on when it is told to."""

    def __init__(self, places: Places) -> None:
        self.way: Way | None = None
        self.part = 0  # 0: waits to be taken up; 1, 2, 3: the parts of the way
        self._next = asyncio.Semaphore(0)
        self.task = asyncio.ensure_future(self._walk(places))

    async def _walk(self, places: Places) -> None:
        async with places.taken() as way:
            self.way = way
            for part in (1, 2, 3):
                if part > 1:
                    await way.go_on()
                self.part = part
                await self._next.acquire()

    def go_on(self) -> None:
        self._next.release()


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_part_holds_so_many_and_frees_the_one_before() -> None:
    places = Places(2)
    walkers = [Walker(places) for _ in range(5)]
    first, second, third = walkers[:3]
    await turns()
    assert [each.part for each in walkers] == [1, 1, 0, 0, 0]
    for each in (first, second, third):
        each.go_on()
    await turns()
    assert [each.part for each in walkers] == [2, 2, 1, 1, 0]  # the third waits: two are with the provider
    assert [each.way.is_wanted for each in walkers[:4] if each.way] == [True, True, True, True]
    first.go_on()
    await turns()
    assert [each.part for each in walkers] == [3, 2, 2, 1, 1]
    assert [each.way.is_wanted for each in walkers[:3] if each.way] == [False, False, False]
    for each in walkers:
        for _ in range(3):
            each.go_on()
    await asyncio.gather(*(each.task for each in walkers))


async def test_no_part_ever_holds_more() -> None:
    places = Places(3)
    here = [0, 0, 0, 0]
    most = [0, 0, 0, 0]

    async def walk(batch: int) -> None:
        async with places.taken() as way:
            for part in (1, 2, 3):
                if part > 1:
                    await way.go_on()
                    here[part - 1] -= 1
                here[part] += 1
                most[part] = max(most[part], here[part])
                for _ in range(1 + (batch * part) % 4):
                    await asyncio.sleep(0)
            here[3] -= 1

    await asyncio.gather(*(walk(batch) for batch in range(40)))
    assert most[1:] == [3, 3, 3]


@pytest.mark.parametrize("part", [1, 2, 3])
async def test_who_ends_anywhere_gives_its_place_back(part: int) -> None:
    places = Places(1)

    async def fail() -> None:
        async with places.taken() as way:
            for _ in range(part - 1):
                await way.go_on()
            raise ValueError("stumbled")

    for _ in range(3):
        with pytest.raises(ValueError, match="stumbled"):
            async with asyncio.timeout(5):
                await fail()


async def test_who_gives_up_waiting_keeps_what_it_has_and_takes_nothing() -> None:
    places = Places(1)
    first, second = Walker(places), Walker(places)
    await turns()
    first.go_on()
    await turns()
    assert (first.part, second.part) == (2, 1)
    second.go_on()  # the place with the provider is taken
    await turns()
    second.task.cancel()
    await turns()
    third = Walker(places)
    for each in (first, first, third, third, third):
        each.go_on()
        await turns()
    await asyncio.gather(first.task, third.task)


async def test_beyond_the_last_part_there_is_nothing_to_wait_for() -> None:
    places = Places(1)
    seen: list[Way] = []
    async with places.taken() as way:
        for _ in range(5):
            await way.go_on()
        seen.append(way)
    assert seen
