"""Accounts at a simulated Namirial."""

from functools import partial

import pytest

from tests.contract.simulator.accounts import NamirialAccount
from tests.contract.simulator.conftest import Open


@pytest.fixture
def open_account(open_account: Open) -> Open:
    """Opens one; its messages come to their end at the first question, unless told otherwise."""
    return partial(open_account, "namirial")


@pytest.fixture
async def account(open_account: Open) -> NamirialAccount:
    opened: NamirialAccount = await open_account()
    return opened
