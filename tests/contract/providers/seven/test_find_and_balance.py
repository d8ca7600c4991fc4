"""What a person asks seven.io: a message, a number, the balance."""

import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Money, PaceUsedUp, Question, Sighting
from campaigns.domain.states import MessageState
from campaigns.providers.seven.adapter import Seven
from tests.contract.providers.pace import Pace
from tests.contract.providers.seven.journal import BATCH, CAMPAIGN, ID, Journal, doubtful, phone, row
from tests.contract.providers.seven.member import API_KEY, BALANCE, JOURNAL, STATUS
from tests.contract.providers.wire_server import WireServer, answer

# --- what a person asks -----------------------------------------------------------------------------


async def test_an_id_is_found_in_the_journal(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(ID, phone(1), f"{BATCH}-1"), row("2", phone(2), None)]
    (found,) = await make().find(Question("id", ID), Pace())
    assert found == Sighting(
        ID,
        MessageState.DELIVERED,
        "DELIVERED",
        message_ref=f"{BATCH}-1",
        phone=phone(1),
        cost=Decimal("0.0750"),
        accepted_at=datetime(2024, 2, 13, 22, 31, 0, 500_000, tzinfo=UTC),
        changed_at=datetime(2024, 2, 13, 22, 31, 7, 102_000, tzinfo=UTC),
    )
    assert journal.questions == [{"id": ID, "limit": "100", "offset": "0"}]


async def test_an_id_the_journal_does_not_show_is_asked_for_by_status(
    make: Callable[..., Seven], journal: Journal, server: WireServer
) -> None:
    provider = make(word="UNKNOWN")
    (found,) = await provider.find(Question("id", ID), Pace())
    assert found == Sighting(ID, None, "UNKNOWN", changed_at=found.changed_at)
    assert found.changed_at is not None
    server.free[STATUS] = b"901"
    assert await provider.find(Question("id", ID), Pace()) == []
    assert await provider.find(Question("id", "no id!"), Pace()) == []
    server.free[STATUS] = b"902"
    with pytest.raises(ProviderRefused, match=r"API disabled.* \(code 902\)"):
        await provider.find(Question("id", ID), Pace())
    for most in (0, 1):
        with pytest.raises(PaceUsedUp):
            await provider.find(Question("id", ID), Pace(most))


async def test_a_number_is_found_newest_first(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [
        row("1", phone(1), None, timestamp="2024-02-13 10:00:00"),
        row("2", phone(1), BATCH, timestamp="2024-02-13 12:00:00"),
        row("3", phone(1), None, timestamp="2024-02-13 05:50:63.102"),
        row("4", phone(1), None, timestamp="2024-02-13 11:00:00"),
        row("5", phone(2), None),
    ]
    found = await make().find(Question("phone", phone(1)), Pace())
    assert [each.provider_message_id for each in found] == ["2", "4", "1", "3"]
    assert {each.message_ref for each in found} == {None}  # a batch's part names no message
    assert journal.questions == [{"to": phone(1)[1:], "limit": "100", "offset": "0"}]
    assert len(await make().find(Question("phone", phone(1), count=2), Pace())) == 2
    assert await make().find(Question("phone", phone(9)), Pace()) == []

    noon = datetime(2024, 2, 13, 10, 30, tzinfo=UTC)
    before = await make().find(Question("phone", phone(1), sent_before=noon), Pace())
    assert [each.provider_message_id for each in before] == ["4", "1", "3"]
    assert journal.questions[-1] == {
        "to": phone(1)[1:],
        "date_from": "2024-01-13",
        "date_to": "2024-02-15",
        "limit": "100",
        "offset": "0",
    }


async def test_a_reference_is_found_by_reading_the_journal(
    make: Callable[..., Seven], journal: Journal
) -> None:
    filler = [row(f"9{at:03}", phone(5000 + at), None) for at in range(120)]
    journal.rows = [
        *filler,
        row("1", phone(1), BATCH),
        row("2", phone(2), f"{BATCH}-2"),
        row("3", phone(3), f"{CAMPAIGN}-8"),
        row("4", phone(4), f"{BATCH}2-2"),
    ]

    async def found(reference: str) -> list[str]:
        asked = await make().find(Question("reference", reference), Pace())
        return sorted(each.provider_message_id for each in asked)

    assert await found(f"{BATCH}-2") == ["2"]
    assert await found(BATCH) == ["1", "2"]
    assert await found(f"{CAMPAIGN}-9-1") == []
    with pytest.raises(ProviderRefused, match="went together under one reference: ask by number"):
        await found(f"{BATCH}-1")
    assert [question["offset"] for question in journal.questions[:2]] == ["0", "100"]


async def test_an_endless_journal_is_given_up(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(f"9{at:05}", phone(at), None) for at in range(2500)]
    with pytest.raises(ProviderRefused, match="too long to be searched so"):
        await make().find(Question("reference", BATCH), Pace())
    assert len(journal.questions) == 20
    with pytest.raises(PaceUsedUp):
        await make().find(Question("reference", BATCH), Pace(3))


# --- the balance ------------------------------------------------------------------------------------


async def test_the_balance_is_an_object(make: Callable[..., Seven], server: WireServer) -> None:
    provider = make()
    for body, money in (
        (b'{"amount":593.994,"currency":"EUR"}', Money(Decimal("593.994"), "EUR")),
        (b'{"amount":"-0.5","currency":"euro"}', Money(Decimal("-0.5"), None)),
        (b'{"amount":900}', Money(Decimal(900), None)),
    ):
        server.script.append(answer(body))
        assert await provider.balance() == money
    assert (server.seen[0].method, server.seen[0].target) == ("GET", BALANCE)
    assert server.seen[0].headers["accept"] == "application/json"
    server.script.append(answer(b'{"amount":0.0,"currency":"EUR"}'))
    assert await provider.probe() == Money(Decimal("0.0"), "EUR")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"900", "seven.io refused the question: invalid API key (code 900)"),
        (b'"900"', "seven.io refused the question: invalid API key (code 900)"),
        (b'{"code":903}', "seven.io refused the question: IP address not allowed (code 903)"),
        (b"593.994", "seven.io's answer cannot be read"),
        (b'{"amount":"much","currency":"EUR"}', "seven.io's answer cannot be read"),
        (b"", "seven.io's answer cannot be read"),
    ],
)
async def test_a_code_is_no_money(
    make: Callable[..., Seven], server: WireServer, body: bytes, sentence: str
) -> None:
    for question in ("balance", "probe"):
        server.script.append(answer(body))
        with pytest.raises(ProviderRefused) as refused:
            await getattr(make(), question)()
        assert str(refused.value) == sentence


# --- what is never shown ----------------------------------------------------------------------------


async def test_no_secret_no_number_and_no_text_is_shown(
    make: Callable[..., Seven], server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = make()
    telling = json.dumps({"error_text": f"{API_KEY} {phone(1)} Hello World", "text": "Hello World"}).encode()
    shown: list[str] = []
    for status in (200, 403, 500, 503):
        server.script.append(answer(telling, status=status))
        shown.append(repr(await provider.look_up([doubtful(1)], Pace())))
        for question in (Question("phone", phone(1)), Question("id", ID), Question("reference", BATCH)):
            server.script.append(answer(telling, status=status))
            with pytest.raises(ProviderRefused) as refused:
                await provider.find(question, Pace())
            shown += ["".join(traceback.format_exception(refused.value)), repr(question)]
    server.free[JOURNAL] = json.dumps([row("1", phone(1), BATCH)]).encode()
    shown.append(repr(await provider.look_up([doubtful(1)], Pace())))
    shown.append(repr(await provider.find(Question("phone", phone(1)), Pace())))
    for hidden in (API_KEY, phone(1)[1:], phone(1)[4:], "Hello World"):
        assert not [text for text in [*shown, caplog.text] if hidden in text], hidden
