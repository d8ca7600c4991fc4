"""Lanes: so many batches in each, and no permit is lost or kept for nothing."""

import asyncio

import pytest

from campaigns.pacing.lanes import Lanes, Slot


class Walker:
    """One batch in the lanes; advances when it is told to."""

    def __init__(self, lanes: Lanes) -> None:
        self.slot: Slot | None = None
        self.lane = 0  # 0: waits to be taken up; 1, 2, 3: the lanes
        self._next = asyncio.Semaphore(0)
        self.task = asyncio.ensure_future(self._walk(lanes))

    async def _walk(self, lanes: Lanes) -> None:
        async with lanes.enter() as slot:
            self.slot = slot
            for lane in (1, 2, 3):
                if lane > 1:
                    await slot.advance()
                self.lane = lane
                await self._next.acquire()

    def advance(self) -> None:
        self._next.release()


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_lane_holds_so_many_and_frees_the_one_before() -> None:
    lanes = Lanes(2)
    walkers = [Walker(lanes) for _ in range(5)]
    first, second, third = walkers[:3]
    await turns()
    assert [each.lane for each in walkers] == [1, 1, 0, 0, 0]
    for each in (first, second, third):
        each.advance()
    await turns()
    assert [each.lane for each in walkers] == [2, 2, 1, 1, 0]  # the third waits: two are with the provider
    assert [each.slot.is_wanted for each in walkers[:4] if each.slot] == [True, True, True, True]
    first.advance()
    await turns()
    assert [each.lane for each in walkers] == [3, 2, 2, 1, 1]
    assert [each.slot.is_wanted for each in walkers[:3] if each.slot] == [False, False, False]
    for each in walkers:
        for _ in range(3):
            each.advance()
    await asyncio.gather(*(each.task for each in walkers))


async def test_no_lane_ever_holds_more() -> None:
    lanes = Lanes(3)
    here = [0, 0, 0, 0]
    most = [0, 0, 0, 0]

    async def walk(batch: int) -> None:
        async with lanes.enter() as slot:
            for lane in (1, 2, 3):
                if lane > 1:
                    await slot.advance()
                    here[lane - 1] -= 1
                here[lane] += 1
                most[lane] = max(most[lane], here[lane])
                for _ in range(1 + (batch * lane) % 4):
                    await asyncio.sleep(0)
            here[3] -= 1

    await asyncio.gather(*(walk(batch) for batch in range(40)))
    assert most[1:] == [3, 3, 3]


@pytest.mark.parametrize("lane", [1, 2, 3])
async def test_who_ends_anywhere_gives_its_permit_back(lane: int) -> None:
    lanes = Lanes(1)

    async def fail() -> None:
        async with lanes.enter() as slot:
            for _ in range(lane - 1):
                await slot.advance()
            raise ValueError("stumbled")

    for _ in range(3):
        with pytest.raises(ValueError, match="stumbled"):
            async with asyncio.timeout(5):
                await fail()


async def test_who_gives_up_waiting_keeps_what_it_has_and_takes_nothing() -> None:
    lanes = Lanes(1)
    first, second = Walker(lanes), Walker(lanes)
    await turns()
    first.advance()
    await turns()
    assert (first.lane, second.lane) == (2, 1)
    second.advance()  # the permit with the provider is taken
    await turns()
    second.task.cancel()
    await turns()
    third = Walker(lanes)
    for each in (first, first, third, third, third):
        each.advance()
        await turns()
    await asyncio.gather(first.task, third.task)


async def test_beyond_the_last_lane_there_is_nothing_to_wait_for() -> None:
    lanes = Lanes(1)
    seen: list[Slot] = []
    async with lanes.enter() as slot:
        for _ in range(5):
            await slot.advance()
        seen.append(slot)
    assert seen
