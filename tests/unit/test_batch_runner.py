"""A process goes on with what is due after a batch, without a message to the broker, until nothing is."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from campaigns import batching
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.policy import Desk
from campaigns.pacing.lanes import Lanes, Slot
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.waiting import until
from worker import batch_runner
from worker.batch_runner import BatchRunner
from worker.bootstrap import Parts


class Process:
    """One process with three slots, whose batches last until they are let go."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.parts = cast(
            Parts, SimpleNamespace(desk=SimpleNamespace(is_stopping=lambda: self.is_stopping), database=None)
        )
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.wanted: list[bool] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.errors: dict[int, Exception] = {}
        lanes = Lanes(3)
        self.runner: BatchRunner[int] = BatchRunner(lambda _: lanes, self._stage, self._after, self._want)

    async def _stage(self, _database: Database, _desk: Desk, dealt: Dealt, _slot: Slot) -> int:
        self.begun.append(dealt.batch_id)
        if (gate := self.gates.get(dealt.batch_id)) is not None:
            await gate.wait()
        if (error := self.errors.get(dealt.batch_id)) is not None:
            raise error
        return dealt.batch_id

    async def _after(self, _parts: Parts, dealt: Dealt, became: int) -> None:
        assert dealt.batch_id == became
        self.ended.append(became)

    def _want(self, _parts: Parts, for_all: bool) -> None:
        self.wanted.append(for_all)

    def task(self, *batches: int) -> asyncio.Task[None]:
        """A Celery task that comes with these batches."""
        return asyncio.ensure_future(self.runner.work(self.parts, [Dealt(each, 1) for each in batches]))

    def fill(self, *batches: int) -> list[int]:
        """A deal that leased these. Gives those for which no slot waits."""
        left = self.runner.fill(self.parts, [Dealt(each, 1) for each in batches])
        return [each.batch_id for each in left]

    async def waits(self, count: int) -> None:
        await until(lambda: self.runner.free_count(self.parts) == count, "slots that wait")


async def test_a_slot_goes_on_with_what_is_due_and_ends_when_nothing_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process()
    task = process.task(1, 2)
    await process.waits(2)
    assert process.wanted == [False, False], "a deal for the slots of this process"
    assert process.fill(3, 4, 5) == [5], "one for each slot, and no more"
    await process.waits(2)
    assert sorted(process.ended) == [1, 2, 3, 4]
    assert not task.done()

    process.wanted.clear()
    assert process.fill() == []
    assert process.wanted == [False], "they wait a moment for what is due soon"
    monkeypatch.setattr(batch_runner, "_IDLE_SECONDS", 0.0)
    assert process.fill(6) == []
    await process.waits(2)
    await until(
        lambda: process.fill() == [] and process.runner.free_count(process.parts) == 0, "the end of waiting"
    )
    await task


async def test_a_slot_that_stayed_long_asks_for_a_deal_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_runner, "_STAY_SECONDS", 0.0)
    process = Process()
    await process.task(1, 2)
    assert process.wanted == [True, True]


async def test_a_task_that_comes_meanwhile_leaves_its_batches_and_ends() -> None:
    process = Process()
    process.gates[1] = asyncio.Event()
    first = process.task(1)
    await until(lambda: process.begun == [1], "the first to begin")
    await process.task(2)
    await until(lambda: process.ended == [2], "what it left to be done")
    assert not first.done()
    process.gates[1].set()
    await process.waits(2)
    process.runner.dismiss()
    await first


async def test_an_error_is_raised_at_once_and_stops_no_other() -> None:
    process = Process()
    process.gates[2] = asyncio.Event()
    process.errors[1] = ZeroDivisionError("of batch 1")
    with pytest.raises(ZeroDivisionError):
        await process.task(1, 2)
    process.errors[3] = DatabaseUnavailable("away")
    with pytest.raises(DatabaseUnavailable):
        await process.task(3)
    process.gates[2].set()
    await process.waits(1)
    await process.runner.close()
    assert process.ended == [2]


@pytest.mark.parametrize("waits_for", ["a lane", "a deal"])
async def test_a_process_that_ends_begins_no_other_batch(
    waits_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    back: list[int] = []

    async def take_back(_database: Any, dealt: list[Dealt]) -> int:
        back.extend(each.batch_id for each in dealt)
        return len(dealt)

    monkeypatch.setattr(batching, "take_back", take_back)
    process = Process()
    process.gates = {number: asyncio.Event() for number in (1, 2, 3)} if waits_for == "a lane" else {}
    task = process.task(1, 2, 3, 4)
    if waits_for == "a lane":
        await until(lambda: len(process.begun) == 3, "all lanes to be taken")
        process.is_stopping = True
        for gate in process.gates.values():
            gate.set()
    else:
        await process.waits(4)
        process.is_stopping = True
        assert process.fill() == []
    await task
    assert back == ([4] if waits_for == "a lane" else [])
    assert len(process.ended) == (3 if waits_for == "a lane" else 4)


async def test_what_would_only_wait_in_front_of_the_lanes_is_left_to_others() -> None:
    process = Process()
    process.gates = {each: asyncio.Event() for each in range(3, 13)}
    task = process.task(*range(1, 13))
    await until(lambda: process.ended == [1, 2], "two slots wait")
    assert process.fill(20) == [20], "ten are at work or in front of the lanes, which hold nine"
    for each in (3, 4):
        process.gates[each].set()
    await process.waits(1)
    assert process.fill(20, 21) == [21], "there is room for one more"
    for gate in process.gates.values():
        gate.set()
    await until(lambda: len(process.ended) == 13, "the others")
    process.runner.dismiss()
    await task
