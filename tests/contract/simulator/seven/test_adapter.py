"""What only the adapter of seven.io must do, against its simulator."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from campaigns.domain.prices import QuotedPrice
from campaigns.domain.provider import (
    Accepted,
    Doubtful,
    InDoubt,
    NotSent,
    OutboundMessage,
    Question,
    Receipt,
    Rejected,
    Sighting,
)
from campaigns.domain.states import MessageState
from tests.contract.simulator.adapters import adapter, at_once, hand_over, message
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.hooks import Hooks
from tests.contract.simulator.seven.signing import SIGNING_KEY


def in_doubt(of: OutboundMessage) -> Doubtful:
    now = datetime.now(UTC)
    return Doubtful(of.message_ref, of.phone, now - timedelta(seconds=60), now)


@pytest.mark.parametrize("form", ["keyed", "top", "top_string", "empty_key", "bare"])
async def test_a_request_refused_for_its_numbers_goes_out_one_by_one(open_account: Open, form: str) -> None:
    account = await open_account(error_form=form)
    async with adapter(account) as ours:
        messages = [message(1, "+37060000094"), message(2, "+37060000096")]
        assert (
            await hand_over(ours, *messages)
            == [NotSent("invalid recipient, of a request with several", retry_at_once=True)] * 2
        )
        assert await hand_over(ours, *messages) == [Rejected("202", "invalid recipient")] * 2


async def test_what_was_taken_unseen_is_found_in_the_journal(open_account: Open) -> None:
    account = await open_account()
    async with adapter(account) as ours:
        await account.simulator.fault("send", "cut_after", times=1)
        messages = [message(at, f"+370600000{at:02d}") for at in (1, 2, 3, 90, 98)]
        outcomes = await hand_over(ours, *messages)
        assert all(isinstance(outcome, InDoubt) for outcome in outcomes)
        alone = message(50, "+37060000050")
        await account.simulator.fault("send", "cut_after", times=1)
        assert isinstance((await hand_over(ours, alone))[0], InDoubt)

        never = message(60, "+37060000060")
        for those in ([*messages, alone, never], [messages[3]], [alone], [never]):
            found = await ours.look_up([in_doubt(each) for each in those], at_once)
            assert found.trouble is None
            assert found.absent == [each.message_ref for each in those if each is never]
            assert {each.message_ref for each in found.seen} == {
                m.message_ref for m in those if m is not never
            }
            for sighting in found.seen:
                ends = {"90": MessageState.UNDELIVERED, "98": MessageState.ACCEPTED}
                assert sighting.evidence == ends.get(sighting.phone[-2:], MessageState.DELIVERED)
                assert sighting.accepted_at is not None
        (sighting,) = await found_by_each(ours, alone)
        answers = await ours.ask([sighting.provider_message_id], at_once)
        assert [receipt.evidence for receipt in answers.receipts] == [MessageState.DELIVERED]
        assert (await account.simulator.ledger())["most_per_phone"] == 1


async def found_by_each(ours: Any, of: OutboundMessage) -> list[Sighting]:
    by_phone = await ours.find(Question("phone", of.phone), at_once)
    assert by_phone == await ours.find(Question("reference", of.message_ref), at_once)
    assert by_phone == await ours.find(Question("id", by_phone[0].provider_message_id), at_once)
    assert [each.message_ref for each in by_phone] == [of.message_ref]
    return by_phone


async def test_the_reload_lock_guards_a_second_attempt(open_account: Open) -> None:
    """Taken, the answer lost, and a journal that is late: the lock refuses, and the journal settles it."""
    account = await open_account()
    async with adapter(account) as ours:
        simulator = account.simulator
        messages = [message(at, f"+370600000{at:02d}") for at in (1, 2)]
        await simulator.fault("send", "cut_after", times=1)
        await hand_over(ours, *messages)
        await simulator.fault("journal", "nonsense", body="[]", times=2)
        doubtful = [in_doubt(each) for each in messages]
        late = await ours.look_up(doubtful, at_once)
        assert late.absent == [each.message_ref for each in messages]
        again = await hand_over(ours, *messages)
        assert all(isinstance(outcome, InDoubt) and "reload lock" in outcome.why for outcome in again)
        found = await ours.look_up(doubtful, at_once)
        assert ({each.message_ref for each in found.seen}, found.absent) == (
            {each.message_ref for each in messages},
            [],
        )
        assert (await simulator.ledger())["most_per_phone"] == 1


async def test_unknown_ids_do_not_hide_the_others(open_account: Open) -> None:
    account = await open_account()
    async with adapter(account) as ours:
        outcomes = await hand_over(ours, *(message(at, f"+370600000{at:02d}") for at in range(8)))
        ids = [outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)]
        answers = await ours.ask([*ids[:4], "77229135982", *ids[4:]], at_once)
        assert sorted(receipt.provider_message_id for receipt in answers.receipts) == sorted(ids)
        assert answers.trouble is None


async def test_a_status_that_comes_as_text_is_read(open_account: Open) -> None:
    account = await open_account()
    async with adapter(account) as ours:
        (outcome,) = await hand_over(ours, message(1, "+37060000089"))
        answers = await ours.ask([outcome.provider_message_id], at_once)
        (receipt,) = answers.receipts
        assert receipt.changed_at is not None
        assert replace(receipt, changed_at=None) == Receipt(
            outcome.provider_message_id, MessageState.DELIVERED, "DELIVERED"
        )


async def test_the_balance_is_read(open_account: Open) -> None:
    account = await open_account(balance=Decimal("12.3456"), currency="PLN")
    async with adapter(account) as ours:
        assert await ours.balance() == await ours.probe()
        money = await ours.balance()
        assert (money.amount, money.currency) == (Decimal("12.3456"), "PLN")


async def test_the_price_list_is_read(open_account: Open) -> None:
    account = await open_account(price=Decimal("0.05"))
    async with adapter(account) as ours:
        quote = await ours.quote(["+1", "+49", "+7"])
    assert quote.prices == [
        QuotedPrice("+1", Decimal("0.05"), Decimal("0.05")),
        QuotedPrice("+49", Decimal("0.05"), Decimal("0.06")),
    ]
    of_one = (await account.ask("GET", "pricing?country=de")).json()
    assert [each["countryPrefix"] for each in of_one["countries"]] == ["49"]
    assert (await account.ask("GET", "pricing?country=xx")).json()["countries"] == []
    assert (await account.ask("GET", "pricing?prefix=49")).json() == "308"


@pytest.mark.parametrize("method", ["GET", "POST", "JSON"])
async def test_callbacks_are_read_as_they_come(open_account: Open, hooks: Hooks, method: str) -> None:
    account = await open_account(
        delivery_seconds=0.2, callback_url=hooks.url, callback_method=method, signing_key=SIGNING_KEY
    )
    async with adapter(account) as ours:
        (outcome,) = await hand_over(ours, message(1, "+37060000001"))
        await hooks.came(3)
        read_so_far = [receipt for call in hooks.taken for receipt in ours.read_callback(call)]
        assert all(receipt.changed_at is not None for receipt in read_so_far)
        assert [replace(receipt, changed_at=None) for receipt in read_so_far] == [
            Receipt(outcome.provider_message_id, state, word)
            for state, word in (
                (MessageState.ACCEPTED, "ACCEPTED"),
                (MessageState.SENT, "TRANSMITTED"),
                (MessageState.DELIVERED, "DELIVERED"),
            )
        ]
