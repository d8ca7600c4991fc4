"""What only the adapter of Loyalty.lt must do, against its simulator."""

import asyncio
from decimal import Decimal

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    OutboundMessage,
    PaceUsedUp,
    Question,
    Throttled,
)
from campaigns.domain.states import MessageState
from tests.contract.simulator.accounts import PLUS_PHONE as PHONE
from tests.contract.simulator.accounts import LoyaltyLtAccount as Account
from tests.contract.simulator.adapters import adapter, at_once, hand_over
from tests.contract.simulator.conftest import Open


async def test_the_account_as_the_adapter_sees_it(open_account: Open) -> None:
    account = await open_account(messages_per_minute=1, price=Decimal(1), balance=Decimal(2))
    message = OutboundMessage("ref-1", PHONE, "Labas")
    async with adapter(account) as provider:
        assert await provider.probe() is None
        (outcome,) = await hand_over(provider, message)
        assert isinstance(outcome, Accepted)
        assert await hand_over(provider, message) == [Throttled(None, "HTTP 429")]
        (sighting,) = await provider.find(Question("id", outcome.provider_message_id), at_once)
        assert (sighting.phone, sighting.cost, sighting.evidence) == (
            PHONE,
            Decimal(1),
            MessageState.DELIVERED,
        )
        assert sighting.changed_at is not None
        assert await provider.find(Question("id", "msg_0"), at_once) == []
    for wrong in ({"api_key": "wrong"}, {"api_secret": "wrong"}, {"api_secret": ""}):
        async with adapter(account, **wrong) as provider:
            (refused,) = await hand_over(provider, message)
            assert isinstance(refused, AccountTrouble)
            with pytest.raises(ProviderRefused, match="HTTP 401"):
                await provider.probe()
            answers = await provider.ask([outcome.provider_message_id], at_once)
            assert (list(answers.receipts), bool(answers.trouble)) == ([], True)
    for misplaced in ({"base_url": account.simulator.url + "/v2"}, {"locale": "english"}):
        async with adapter(account, **misplaced) as provider:
            assert await hand_over(provider, message) == [AccountTrouble("http_404", "the address is wrong")]
            with pytest.raises(ProviderRefused, match="HTTP 404"):
                await provider.probe()
    assert await account.simulator.accepted() == 1


async def test_no_money_is_the_accounts_trouble_whatever_the_code(open_account: Open) -> None:
    account = await open_account(price=Decimal(1), balance=Decimal(1))
    message = OutboundMessage("ref-1", PHONE, "Labas")
    async with adapter(account) as provider:
        outcomes = [(await hand_over(provider, message))[0] for _ in range(4)]
        assert isinstance(outcomes[0], Accepted)
        assert outcomes[1:] == [
            AccountTrouble(code, "not enough money") for code in ("1002", "1002", "http_402")
        ]


async def test_the_adapter_never_asks_too_soon(account: Account) -> None:
    """By the real clock, and by the count of who is asked."""
    async with adapter(account, monotonic=asyncio.get_running_loop().time, concurrency=3) as provider:
        outcomes = await hand_over(
            provider, *(OutboundMessage(f"ref-{at}", f"+370600000{at:02d}", "Labas") for at in range(9))
        )
        ids = [outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)]
        rounds = await asyncio.gather(*(provider.ask(ids, at_once) for _ in range(3)))
        assert sum(len(answers.receipts) for answers in rounds) == 9
        answers = await provider.ask(ids, at_once)
        assert isinstance(answers, Answers)
        assert answers.receipts == []
        assert 0 < (answers.retry_after_seconds or 0) <= 5
        for message_id in ids:
            with pytest.raises(PaceUsedUp):
                await provider.find(Question("id", message_id), at_once)
        assert await asyncio.gather(*(provider.probe() for _ in range(5))) == [None] * 5
        assert (await account.simulator.ledger())["requests"] == {"send": 9, "status": 10}
