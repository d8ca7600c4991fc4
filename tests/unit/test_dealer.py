"""A process deals as soon as somebody asks, once for all who ask together, and forgets no later moment."""

import asyncio
from typing import Any, cast

from campaigns.domain.errors import DatabaseUnavailable
from tests.waiting import until
from worker.bootstrap import Parts
from worker.dealer import Dealer

PARTS = cast(Parts, object())


class Deals:
    """Counts deals; each lasts until it may end."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.for_all: list[bool] = []
        self.ended = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    async def __call__(self, parts: Parts, *, for_all: bool) -> None:
        assert parts is PARTS
        self.for_all.append(for_all)
        self.moments.append(asyncio.get_running_loop().time())
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.ended += 1


async def test_many_who_ask_together_cost_one_deal() -> None:
    deals = Deals()
    dealer = Dealer(deals)
    for _ in range(100):
        dealer.soon(PARTS, for_all=False)
    dealer.soon(PARTS)
    dealer.soon(PARTS, for_all=False)
    await until(lambda: deals.ended > 0)
    assert deals.for_all == [True], "as far as any of them asks"
    later = asyncio.get_running_loop().time() + 0.3
    await until(lambda: asyncio.get_running_loop().time() > later)
    assert len(deals.moments) == 1


async def test_a_later_moment_is_kept_behind_a_sooner_one() -> None:
    deals = Deals()
    dealer = Dealer(deals)
    begun = asyncio.get_running_loop().time()
    dealer.soon(PARTS, 0.4)
    dealer.soon(PARTS)
    await until(lambda: deals.ended == 2)
    first, second = (moment - begun for moment in deals.moments)
    assert first < 0.4
    assert second >= 0.4 - 0.01


async def test_who_asks_while_it_deals_is_dealt_to_afterwards() -> None:
    deals = Deals()
    dealer = Dealer(deals)
    deals.may_end.clear()
    dealer.soon(PARTS)
    await until(lambda: len(deals.moments) == 1)
    dealer.soon(PARTS)
    await dealer.now(PARTS)  # the tick: it is being dealt already
    assert len(deals.moments) == 1
    deals.may_end.set()
    await until(lambda: deals.ended == 2)


async def test_a_database_that_is_away_ends_nothing() -> None:
    deals = Deals()
    dealer = Dealer(deals)
    deals.error = DatabaseUnavailable("away")
    dealer.soon(PARTS)
    await until(lambda: len(deals.moments) == 1)
    deals.error = None
    dealer.soon(PARTS)
    await until(lambda: deals.ended == 1)


async def test_closing_sees_a_deal_to_its_end_and_begins_no_other() -> None:
    deals = Deals()
    dealer = Dealer(deals)
    deals.may_end.clear()
    dealer.soon(PARTS)
    await until(lambda: len(deals.moments) == 1)
    dealer.soon(PARTS, 0.1)
    closing: asyncio.Future[Any] = asyncio.ensure_future(dealer.close())
    await asyncio.sleep(0)
    assert not closing.done()
    deals.may_end.set()
    await closing
    assert deals.ended == 1
    dealer_wants_nothing = asyncio.get_running_loop().time() + 0.25
    await until(lambda: asyncio.get_running_loop().time() > dealer_wants_nothing)
    assert len(deals.moments) == 1
