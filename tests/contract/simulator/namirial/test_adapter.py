"""What only the adapter of Namirial must do, against its simulator."""

from datetime import UTC, datetime

from campaigns.domain.provider import Accepted, AccountTrouble, Doubtful, OutboundMessage, Question, Throttled
from tests.contract.simulator.accounts import PLUS_PHONE as PHONE
from tests.contract.simulator.accounts import NamirialAccount as Account
from tests.contract.simulator.adapters import adapter, at_once, hand_over


async def test_messages_are_found_over_pages(account: Account, moment: list[float]) -> None:
    async with adapter(account) as provider:
        for at in range(130):
            await account.take(text=f"text {at}", key=f"ref-{at}")
            moment[0] += 0.5
        found = await provider.find(Question("phone", PHONE, count=1000), at_once)
        assert {each.message_ref for each in found} == {f"ref-{at}" for at in range(130)}
        assert len(found) == 130
        assert (found[0].phone, found[0].accepted_at) == (PHONE, max(each.accepted_at for each in found))
        (one,) = await provider.find(Question("reference", "ref-7"), at_once)
        assert await provider.find(Question("id", one.provider_message_id), at_once) == [one]
        assert await provider.find(Question("id", "7b8ef313-f1f2-4c4f-bffa-438c287ba9d8"), at_once) == []
        assert await provider.find(Question("reference", "ref-777"), at_once) == []


async def test_the_account_as_the_adapter_sees_it(account: Account) -> None:
    message = OutboundMessage("ref-1", PHONE, "Labas")
    async with adapter(account) as provider:
        assert await provider.probe() is None
        await account.simulator.fault("send", "code", code="60", times=1)
        assert await hand_over(provider, message) == [Throttled(60.0, "blocked by anti-flooding")]
    for wrong, code in (
        ({"password": "wrong"}, "http_401"),
        ({"username": "wrong"}, "http_401"),
        ({"reference_service": "NO_SUCH"}, "59"),
    ):
        async with adapter(account, **wrong) as provider:
            (outcome,) = await hand_over(provider, message)
            assert isinstance(outcome, AccountTrouble)
            assert outcome.code == code
    async with adapter(account, api_key="wrong") as provider:
        (outcome,) = await hand_over(provider, message)
        assert isinstance(outcome, Accepted)
        assert (await provider.ask([outcome.provider_message_id], at_once)).trouble
        assert (await provider.look_up([Doubtful("ref-1", PHONE, *[datetime.now(UTC)] * 2)], at_once)).trouble
    assert await account.simulator.accepted() == 1
