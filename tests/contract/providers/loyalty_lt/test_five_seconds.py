"""Loyalty.lt may be asked for a message once in five seconds."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import Answers, PaceUsedUp, Question, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.recently_asked import RecentlyAsked
from tests.contract.providers.clock import Clock
from tests.contract.providers.loyalty_lt.documented import ID, status_of
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import WireServer, answer
from tests.waiting import until


async def test_the_same_id_waits_five_seconds(
    make: Callable[..., LoyaltyLt], server: WireServer, clock: Clock
) -> None:
    provider = make()
    server.script.append(status_of(ID))
    assert len((await provider.ask([ID, ID], at_once)).receipts) == 1
    clock.monotonic += 1.5
    assert await provider.ask([ID], at_once) == Answers([], None, 3.5)
    server.script.append(status_of("msg_2"))
    answers = await provider.ask([ID, "msg_2"], at_once)  # the other one may be asked
    assert answers == Answers([Receipt("msg_2", MessageState.SENT, "sent")])
    clock.monotonic += 3.25
    assert await provider.ask([ID, "msg_2"], at_once) == Answers([], None, 1.75)
    clock.monotonic += 0.25
    server.script.append(status_of(ID, "delivered"))
    assert len((await provider.ask([ID], at_once)).receipts) == 1
    assert len(server.seen) == 3


async def test_five_seconds_are_counted_from_the_answer(
    make: Callable[..., LoyaltyLt], server: WireServer, clock: Clock
) -> None:
    """A question slow on its way arrives late: from when it left, the next could follow at once."""
    provider, come = make(), asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await come.wait()
        await status_of(ID)(writer)

    server.script.append(late)
    asking = asyncio.create_task(provider.ask([ID], at_once))
    await until(lambda: len(server.seen) == 1)
    clock.monotonic += 30
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)  # it is on its way
    come.set()
    assert len((await asking).receipts) == 1
    clock.monotonic += 4.5
    assert await provider.ask([ID], at_once) == Answers([], None, 0.5)
    assert len(server.seen) == 1


async def test_two_rounds_at_once_ask_once(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    """Both find that the id may be asked, and then both wait for the pace."""
    provider, ready, waiting = make(), asyncio.Event(), 0

    async def wait_for_pace() -> None:
        nonlocal waiting
        waiting += 1
        await ready.wait()

    server.script.append(status_of(ID))
    rounds = [asyncio.create_task(provider.ask([ID], wait_for_pace)) for _ in range(2)]
    await until(lambda: waiting == 2)
    ready.set()
    first, second = sorted(await asyncio.gather(*rounds), key=lambda answers: len(answers.receipts))
    assert (list(first.receipts), first.trouble, first.retry_after_seconds) == ([], None, 5.0)
    assert len(second.receipts) == 1
    assert len(server.seen) == 1


async def test_a_question_in_vain_counts_too(
    make: Callable[..., LoyaltyLt], server: WireServer, clock: Clock
) -> None:
    provider = make()
    server.script.append(answer(b"", 500))
    await provider.ask([ID], at_once)
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)
    with pytest.raises(PaceUsedUp) as later:
        await provider.find(Question("id", ID), at_once)
    assert later.value.wait_seconds == 5.0
    assert len(server.seen) == 1


def quarters(most: int) -> st.SearchStrategy[float]:
    """Seconds that add up without rounding."""
    return st.integers(0, 4 * most).map(lambda count: count / 4)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), quarters(3), quarters(8), st.booleans()), max_size=60))
def test_no_id_is_ever_asked_within_five_seconds_and_nothing_grows(
    steps: list[tuple[str, float, float, bool]],
) -> None:
    clock = Clock()
    recently = RecentlyAsked(5.0, lambda: clock.monotonic, most_remembered=3)
    asked_at: dict[str, float] = {}
    for asked, pause, flight, breaks in steps:
        clock.monotonic += pause
        wait_seconds = recently.wait_seconds(asked)
        assert 0 <= wait_seconds <= 5
        if wait_seconds:
            continue
        assert clock.monotonic - asked_at.get(asked, -100) >= 5
        try:
            with recently.asking(asked):
                assert recently.wait_seconds(asked) == 5
                clock.monotonic += flight
                if breaks:
                    raise ConnectionError
        except ConnectionError:
            assert breaks
        asked_at[asked] = clock.monotonic
        assert len(recently) <= 3
    clock.monotonic += 5
    assert recently.wait_seconds("a") == 0
    assert len(recently) == 0


def test_the_oldest_is_forgotten_first_whoever_asked_too_soon() -> None:
    clock = Clock()
    recently = RecentlyAsked(5.0, lambda: clock.monotonic)
    for asked in ("a", "b", "a"):
        with recently.asking(asked):
            clock.monotonic += 1
    clock.monotonic += 4
    assert (recently.wait_seconds("b"), len(recently)) == (0, 1)
    assert recently.wait_seconds("a") == 1


def test_what_is_full_lets_nobody_ask_before_somebody_leaves() -> None:
    clock = Clock()
    recently = RecentlyAsked(5.0, lambda: clock.monotonic, most_remembered=2)
    with recently.asking("a"), recently.asking("b"):
        assert recently.wait_seconds("c") == 5
    clock.monotonic += 3
    assert recently.wait_seconds("c") == 2
    clock.monotonic += 2
    assert recently.wait_seconds("c") == 0
