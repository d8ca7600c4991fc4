"""How ids are asked for, one by one and in halves: first of no provider, then that each keeps to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from campaigns.domain.provider import Answers, PaceUsedUp, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.base import NoAnswer, Series, ask_each, ask_in_halves
from campaigns.providers.wire import Wire
from tests.contract.providers.members import WIRED, WiredMember
from tests.contract.providers.pace import Pace, at_once
from tests.contract.providers.wire_server import WireServer, answer_when
from tests.waiting import until

IDS = [f"id-{at}" for at in range(6)]
UNREADABLE = NoAnswer("cannot be read", of_one=True)


def in_order(ids: Sequence[str], _count: int) -> list[str]:
    """In place of the random order in which they are asked."""
    return list(ids)


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.providers.base.sample", in_order)


class Answering:
    """Answers a question with its id in capitals, but where another answer is named; counts those at once."""

    def __init__(self, **failures: NoAnswer) -> None:
        self.failures = {name.replace("_", "-"): failure for name, failure in failures.items()}
        self.asked: list[str] = []
        self.most_at_once = self._at_once = 0

    async def __call__(self, message_id: str) -> str | None:
        self.asked.append(message_id)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
        finally:
            self._at_once -= 1
        if message_id in self.failures:
            raise self.failures[message_id]
        return message_id.upper()


async def series(
    ask_one: Callable[[str], Awaitable[str | None]],
    wait_for_pace: Callable[[], Awaitable[None]] = at_once,
    concurrency: int = 1,
) -> Series[str]:
    return await ask_each(IDS, wait_for_pace, ask_one, concurrency=concurrency)


# --- one by one -------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 6, 9])
async def test_as_many_questions_at_once_as_allowed(concurrency: int) -> None:
    ask_one = Answering()
    asked = await series(ask_one, concurrency=concurrency)
    assert asked.found(IDS) == [each.upper() for each in IDS]
    assert ask_one.most_at_once == min(concurrency, len(IDS))
    assert (asked.trouble, asked.retry_after_seconds, asked.unasked(IDS)) == (None, None, [])


async def test_each_question_waits_for_the_pace() -> None:
    ask_one, waits = Answering(), list[int]()

    async def wait_for_pace() -> None:
        waits.append(len(ask_one.asked))

    await series(ask_one, wait_for_pace)
    assert waits == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("allowed", [0, 2])
async def test_the_questions_end_when_the_pace_is_used_up(concurrency: int, allowed: int) -> None:
    ask_one = Answering()
    asked = await series(ask_one, Pace(allowed), concurrency)
    assert len(ask_one.asked) == len(asked.found(IDS)) == allowed
    assert (asked.trouble, asked.retry_after_seconds) == (None, 7.0)
    assert len(asked.unasked(IDS)) == len(IDS) - allowed


@pytest.mark.usefixtures("ordered")
async def test_trouble_ends_the_questions_and_what_was_learned_is_kept() -> None:
    ask_one = Answering(id_1=NoAnswer("HTTP 429", 9.0))
    asked = await series(ask_one)
    assert (asked.found(IDS), ask_one.asked) == (["ID-0"], IDS[:2])
    assert (asked.trouble, asked.retry_after_seconds) == ("HTTP 429", 9.0)


@pytest.mark.usefixtures("ordered")
async def test_one_unreadable_answer_does_not_end_the_questions_and_three_do() -> None:
    ask_one = Answering(id_0=UNREADABLE, id_2=UNREADABLE, id_4=UNREADABLE)
    asked = await series(ask_one)
    assert (asked.found(IDS), asked.unasked(IDS)) == (["ID-1", "ID-3"], ["id-5"])
    assert asked.trouble == "cannot be read"
    del ask_one.failures["id-4"]
    assert (await series(ask_one)).found(IDS) == ["ID-1", "ID-3", "ID-4", "ID-5"]


@pytest.mark.usefixtures("ordered")
async def test_our_own_pace_does_not_hide_trouble() -> None:
    asked = await series(Answering(id_0=UNREADABLE), Pace(1))
    assert (asked.trouble, asked.retry_after_seconds) == ("cannot be read", 7.0)


@pytest.mark.usefixtures("ordered")
async def test_what_waits_for_the_pace_does_not_ask_after_trouble() -> None:
    ready, waits = asyncio.Event(), 0

    async def wait_for_pace() -> None:
        nonlocal waits
        waits += 1
        if waits > 1:
            await ready.wait()

    async def ask_one(_message_id: str) -> str | None:
        ready.set()
        raise NoAnswer("HTTP 500")

    asked = await series(ask_one, wait_for_pace, 3)
    assert (asked.question_count, waits, asked.trouble) == (1, 3, "HTTP 500")


async def test_one_that_always_fails_does_not_keep_the_others_from_being_asked() -> None:
    """In the same order each time, what stands behind it would never be."""
    ask_one, learned = Answering(id_0=NoAnswer("HTTP 500")), set[str]()
    for _ in range(400):  # a chance of 5 * 0.9**400 to fail
        learned |= set((await series(ask_one, Pace(2))).found(IDS))
    assert learned == {each.upper() for each in IDS[1:]}


async def test_a_pace_that_breaks_ends_everything() -> None:
    """Also what is being asked by then and would hang for a minute."""
    hanging, waits, ended = asyncio.Event(), 0, False

    async def broken() -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            await hanging.wait()
            raise ZeroDivisionError

    async def ask_one(_message_id: str) -> str | None:
        nonlocal ended
        hanging.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended = True
        return None

    with pytest.raises(ZeroDivisionError):
        await series(ask_one, broken, 2)
    assert ended


# --- in halves --------------------------------------------------------------------------------------


class Halving:
    """Knows all ids but some; says nothing at all of a list that holds one of those."""

    def __init__(self, unknown: set[str]) -> None:
        self.unknown = unknown
        self.asked: list[Sequence[str]] = []

    async def __call__(self, ids: Sequence[str]) -> Answers | None:
        self.asked.append(ids)
        return None if self.unknown.intersection(ids) else Answers([receipt(each) for each in ids])


def receipt(message_id: str) -> Receipt:
    return Receipt(message_id, MessageState.DELIVERED, "delivered")


HUNDRED = [f"id-{at}" for at in range(100)]


async def test_unknown_ids_are_found_by_halving() -> None:
    ask = Halving({"id-3", "id-77"})
    answers = await ask_in_halves(HUNDRED, 40, ask, too_many="too many")
    assert {each.provider_message_id for each in answers.receipts} == set(HUNDRED) - ask.unknown
    assert (answers.trouble, list(answers.unasked)) == (None, [])
    assert max(map(len, ask.asked)) == 40
    assert len(ask.asked) < 40


@pytest.mark.parametrize("good", [0, 99])
async def test_halving_has_a_bound_and_reaches_others_the_next_time(good: int) -> None:
    for _ in range(60):
        ask = Halving(set(HUNDRED) - {HUNDRED[good]})
        answers = await ask_in_halves(HUNDRED, 100, ask, too_many="too many")
        assert answers.trouble == "too many"
        assert len(ask.asked) <= 130
        if answers.receipts == [receipt(HUNDRED[good])]:
            return
    pytest.fail("one id was never reached")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (PaceUsedUp(4.0), Answers([receipt("id-0")], None, 4.0, IDS[1:])),
        (NoAnswer("HTTP 503", 5.0), Answers([receipt("id-0")], "HTTP 503", 5.0, IDS[1:])),
    ],
)
async def test_what_was_learned_before_is_kept(failure: Exception, expected: Answers) -> None:
    async def ask(ids: Sequence[str]) -> Answers | None:
        if ids == ["id-0"]:
            return Answers([receipt("id-0")])
        raise failure

    assert await ask_in_halves(IDS, 1, ask, too_many="too many") == expected


# --- each provider ----------------------------------------------------------------------------------

one_by_one = pytest.mark.parametrize(
    "wired", [m for m in WIRED if m.name in {"loyalty_lt", "namirial"}], ids=lambda m: m.name
)


@one_by_one
async def test_a_provider_is_asked_as_much_at_once_as_its_account_allows(
    wired: WiredMember, server: WireServer, wire: Wire
) -> None:
    provider, most_open = wired.make(server, wire, concurrency=3), 0

    def three_are_here() -> bool:
        nonlocal most_open
        most_open = max(most_open, server.open_connections)
        return len(server.seen) >= 3

    # Nobody is answered before three wait: with fewer at once this would never end.
    server.script.extend(answer_when(three_are_here, json.dumps({}).encode()) for _ in range(7))
    async with asyncio.timeout(10):
        answers = await provider.ask([f"id-{at}" for at in range(7)], at_once)
    assert answers.trouble
    assert most_open == 3


@one_by_one
async def test_cancelled_questions_leave_nothing_behind(
    wired: WiredMember, server: WireServer, wire: Wire
) -> None:
    provider = wired.make(server, wire, concurrency=4)
    is_over = asyncio.Event()
    server.script.extend(answer_when(is_over.is_set, b"") for _ in range(4))
    task = asyncio.create_task(provider.ask([f"id-{at}" for at in range(9)], at_once))
    await until(lambda: len(server.seen) == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    is_over.set()  # the server goes on: a connection that is still open now was left behind
    await until(lambda: server.open_connections == 0)
