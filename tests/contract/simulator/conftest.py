"""Simulators, accounts at them, and a customer's server for their callbacks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

from simulator.ledger import Ledger
from simulator.options import ProviderName
from tests.contract.simulator.accounts import ACCOUNTS, EXAMPLES
from tests.contract.simulator.client import Simulator, running
from tests.contract.simulator.hooks import Hooks, hooked

Start = Callable[..., Awaitable[Simulator]]
Open = Callable[..., Awaitable[Any]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators with the options given; ends them all after the test."""
    async with AsyncExitStack() as stack:

        async def begin(**options: Any) -> Simulator:
            return await stack.enter_async_context(running(**options))

        yield begin


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    """A LightSMS whose messages come to their end at the first question."""
    return await start(delivery_seconds=0)


@pytest.fixture
def open_account(start: Start, request: pytest.FixtureRequest) -> Open:
    """Opens an account at a provider; its messages come to their end at once, unless told otherwise.

    In a provider's own folder it is that provider's.
    """

    async def opened(provider: str = request.path.parent.name, **options: Any) -> Any:
        played: ProviderName = "http" if provider in EXAMPLES else cast("ProviderName", provider)
        account = ACCOUNTS[played](await start(provider=played, **{"delivery_seconds": 0, **options}))
        if provider in EXAMPLES:
            account.example = provider
        return account

    return opened


@pytest.fixture
async def account(open_account: Open) -> Any:
    """An account at the provider whose folder the test is in."""
    return await open_account()


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with hooked() as made:
        yield made


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The ledger's clock, moved by hand: 2026-02-04 06:54:35 UTC."""
    now = [1_770_188_075.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: now[0])
    return now
