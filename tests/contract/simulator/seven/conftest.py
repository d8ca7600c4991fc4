"""Accounts at a simulated seven.io."""

from functools import partial

import pytest

from tests.contract.simulator.accounts import SevenAccount
from tests.contract.simulator.conftest import Open


@pytest.fixture
def open_account(open_account: Open) -> Open:
    """Opens one; its messages come to their end at the first question, unless told otherwise."""
    return partial(open_account, "seven")


@pytest.fixture
async def account(open_account: Open) -> SevenAccount:
    opened: SevenAccount = await open_account()
    return opened
