"""The inbox: many callbacks, one write; an answer only when it is stored; nothing lost, nothing unbounded."""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.provider import Receipt
from campaigns.domain.states import MessageState
from worker.web.inbox import Inbox, NotStored, Taken


def some(count: int, name: str = "x") -> list[Taken]:
    """Receipts that can be told apart."""
    return [("main", Receipt(f"{name}-{n}", MessageState.DELIVERED, "delivered")) for n in range(count)]


class Store:
    """A write that remembers, and that can be held up or made to fail."""

    def __init__(self) -> None:
        self.writes: list[list[Taken]] = []
        self.errors: list[Exception] = []
        self.poison: set[str | None] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0
        self.at_once = 0

    async def __call__(self, taken: Sequence[Taken]) -> None:
        self.begun += 1
        self.at_once += 1
        assert self.at_once == 1, "two writes at once"
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.errors:
                raise self.errors.pop(0)
            if any(receipt.provider_message_id in self.poison for _, receipt in taken):
                raise asyncpg.DataError("cannot be stored")
        finally:
            self.at_once -= 1
        self.writes.append(list(taken))

    @property
    def stored(self) -> list[Taken]:
        return [each for write in self.writes for each in write]


async def reached(condition: Callable[[], bool]) -> None:
    """Let others run until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  a condition of anybody's, that sets no event
            await asyncio.sleep(0)


async def test_it_answers_when_it_is_stored_and_not_before() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store)
    put = asyncio.create_task(inbox.put(some(3)))
    await reached(lambda: store.begun == 1)
    assert not put.done()
    assert inbox.waiting_count == 3
    store.gate.set()
    await put
    assert store.stored == some(3)
    assert inbox.waiting_count == 0


async def test_what_comes_during_a_write_is_the_next_write() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store)
    puts = [asyncio.create_task(inbox.put(some(1, "first")))]
    await reached(lambda: store.begun == 1)
    puts += [asyncio.create_task(inbox.put(some(2, str(n)))) for n in range(100)]
    await reached(lambda: inbox.waiting_count == 201)
    store.gate.set()
    await asyncio.gather(*puts)
    assert [len(write) for write in store.writes] == [1, 200]
    assert store.stored == [*some(1, "first"), *(each for n in range(100) for each in some(2, str(n)))]


async def test_one_write_is_bounded_and_cuts_no_callback_apart() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store, most_at_once=5)
    puts = [
        asyncio.create_task(inbox.put(some(size, str(n)))) for n, size in enumerate([1, 2, 3, 1, 7, 4, 1])
    ]
    await reached(lambda: inbox.waiting_count == 19)
    store.gate.set()
    await asyncio.gather(*puts)
    assert [len(write) for write in store.writes] == [3, 4, 7, 5]


async def test_nothing_is_nothing_to_write() -> None:
    store = Store()
    await Inbox(store).put([])
    assert store.begun == 0


async def test_when_it_is_full_whoever_comes_is_sent_away_and_finds_room_later() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store, most_waiting=10)
    puts = [asyncio.create_task(inbox.put(some(5, str(n)))) for n in range(2)]
    await reached(lambda: inbox.waiting_count == 10)
    with pytest.raises(NotStored, match="too many"):
        await inbox.put(some(1, "more"))
    assert inbox.waiting_count == 10
    store.gate.set()
    await asyncio.gather(*puts)
    await inbox.put(some(1, "more"))
    await inbox.put(some(11, "many in one callback"))  # else it could never be taken
    assert len(store.stored) == 22


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), TimeoutError()])
async def test_a_database_that_is_away_fails_all_of_one_write_and_the_next_goes_well(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store)
    first = asyncio.create_task(inbox.put(some(1, "first")))
    await reached(lambda: store.begun == 1)
    others = [asyncio.create_task(inbox.put(some(1, str(n)))) for n in range(3)]
    await reached(lambda: inbox.waiting_count == 4)
    store.errors = [error, error]
    store.gate.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotStored] * 4
    assert store.begun == 2  # each write was tried once
    await inbox.put(some(1, "later"))
    assert store.stored == some(1, "later")
    assert inbox.waiting_count == 0
    assert len(caplog.records) == 2
    assert "first" not in caplog.text


async def test_one_that_cannot_be_stored_keeps_nobody_else_out(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.gate.clear()
    store.poison = {"40-0"}
    inbox = Inbox(store)
    puts = [asyncio.create_task(inbox.put(some(2, str(n)))) for n in range(100)]
    await reached(lambda: inbox.waiting_count == 200)
    store.gate.set()
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if answer is not None] == [40]
    assert isinstance(answers[40], NotStored)
    assert len(store.stored) == 198
    assert store.begun < 20  # found by halving
    assert len(caplog.records) == 1
    assert "DataError" in caplog.text
    assert "40-0" not in caplog.text


async def test_a_programming_error_is_logged_once_with_its_place_and_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun: list[int] = []

    async def mistaken(taken: Sequence[Taken]) -> None:
        begun.append(len(taken))
        raise KeyError(taken[0][1].provider_message_id)

    inbox = Inbox(mistaken)
    puts = [asyncio.create_task(inbox.put(some(2, f"37061234567-{n}"))) for n in range(10)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotStored] * 10
    assert begun == [20]
    (record,) = caplog.records
    told = str(record.msg)
    assert "KeyError" in told
    assert "test_inbox.py" in told
    assert "in mistaken" in told
    assert "37061234567" not in told
    assert inbox.waiting_count == 0


async def test_nobody_waits_for_ever_and_what_was_waited_for_is_stored_all_the_same() -> None:
    store = Store()
    inbox = Inbox(store, patience_seconds=0.01)
    await inbox.put(some(1, "in time"))
    store.gate.clear()
    for name in ("first", "second"):
        with pytest.raises(NotStored, match="too long"):
            await inbox.put(some(1, name))
    assert inbox.waiting_count == 2
    store.gate.set()
    await inbox.close()
    assert store.stored == [*some(1, "in time"), *some(1, "first"), *some(1, "second")]
    assert inbox.waiting_count == 0


async def test_a_write_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store, write_seconds=0.01)
    with pytest.raises(NotStored, match="database is away"):
        await inbox.put(some(1))
    assert "not written within" in caplog.text
    store.gate.set()
    await inbox.put(some(1, "later"))
    assert store.stored == some(1, "later")


async def test_whoever_goes_away_leaves_what_they_brought() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store)
    first = asyncio.create_task(inbox.put(some(1, "first")))
    await reached(lambda: store.begun == 1)
    gone = asyncio.create_task(inbox.put(some(1, "gone")))
    await reached(lambda: inbox.waiting_count == 2)
    gone.cancel()
    store.gate.set()
    await first
    await inbox.close()
    assert gone.cancelled()
    assert store.stored == [*some(1, "first"), *some(1, "gone")]


async def test_closing_finishes_what_waits_and_takes_nothing_more() -> None:
    store = Store()
    store.gate.clear()
    inbox = Inbox(store, most_at_once=1)
    puts = [asyncio.create_task(inbox.put(some(1, str(n)))) for n in range(5)]
    await reached(lambda: inbox.waiting_count == 5)
    closing = asyncio.create_task(inbox.close())
    await asyncio.sleep(0)
    with pytest.raises(NotStored, match="ending"):
        await inbox.put(some(1, "late"))
    assert not closing.done()
    store.gate.set()
    await closing
    await asyncio.gather(*puts)
    assert len(store.stored) == 5
    await inbox.close()


@given(
    sizes=st.lists(st.integers(0, 4), max_size=30),
    poisoned=st.sets(st.integers(0, 29), max_size=4),
    most_at_once=st.integers(1, 12),
    yields=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_who_is_told_so_is_stored_and_who_is_not_is_not(
    sizes: list[int], poisoned: set[int], most_at_once: int, yields: list[bool]
) -> None:
    async def run() -> None:
        store = Store()
        store.poison = {f"{n}-0" for n in poisoned}
        inbox = Inbox(store, most_at_once=most_at_once)
        puts = []
        for n, size in enumerate(sizes):
            puts.append(asyncio.create_task(inbox.put(some(size, str(n)))))
            if yields[n]:
                await asyncio.sleep(0)
        answers = await asyncio.gather(*puts, return_exceptions=True)
        await inbox.close()
        fails = {n for n in poisoned if n < len(sizes) and sizes[n]}
        assert {n for n, answer in enumerate(answers) if answer is not None} == fails
        expected = [each for n, size in enumerate(sizes) if n not in fails for each in some(size, str(n))]
        assert sorted(store.stored, key=repr) == sorted(expected, key=repr)  # each once
        assert inbox.waiting_count == 0

    with asyncio.Runner() as runner:
        runner.run(run())
