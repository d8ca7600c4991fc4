"""Accounts at a simulated Loyalty.lt."""

from datetime import UTC, datetime
from functools import partial

import pytest

from tests.contract.simulator.accounts import LoyaltyLtAccount
from tests.contract.simulator.conftest import Open


@pytest.fixture
def open_account(open_account: Open) -> Open:
    """Opens one; its messages come to their end at the first question, unless told otherwise."""
    return partial(open_account, "loyalty_lt")


@pytest.fixture
async def account(open_account: Open) -> LoyaltyLtAccount:
    opened: LoyaltyLtAccount = await open_account()
    return opened


@pytest.fixture
def moment(moment: list[float]) -> list[float]:
    """The ledger's clock, moved by hand: 2025-01-15 10:30:00 UTC, as on their pages."""
    moment[0] = datetime(2025, 1, 15, 10, 30, tzinfo=UTC).timestamp()
    return moment
