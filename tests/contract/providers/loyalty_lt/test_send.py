"""Loyalty.lt's request as documented, and what an answer of success says."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from campaigns.domain.provider import Accepted, AccountTrouble, CampaignTrouble, InDoubt, NotSent, Rejected
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import read_sent, read_status
from tests.contract.providers.loyalty_lt.documented import (
    CALLBACK_URL,
    ID,
    PHONE,
    SENT,
    leave_by,
    outcome,
    sent,
)
from tests.contract.providers.loyalty_lt.member import API_KEY, API_SECRET
from tests.contract.providers.members import SENDER, TEXT, messages
from tests.contract.providers.wire_server import WireServer, answer, body_of

# --- the request ------------------------------------------------------------------------------------


async def test_one_message_leaves_as_documented(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    server.script.append(answer(body_of(SENT)))
    assert await outcome(make(locale="lt"), text=TEXT) == Accepted(ID, Decimal("0.0556"), 1, "EUR")
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/lt/sms/send")
    assert seen.headers["x-api-key"] == API_KEY
    assert seen.headers["x-api-secret"] == API_SECRET
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert json.loads(seen.body) == {
        "source": SENDER,
        "destination": PHONE,
        "message": TEXT,
        "receipt": False,
    }
    assert TEXT.encode() in seen.body  # as UTF-8, not escaped


async def test_a_callback_is_asked_for_with_its_address(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    server.script.append(answer(body_of(SENT)))
    await outcome(make(), callback_url=CALLBACK_URL)
    said = json.loads(server.seen[0].body)
    assert said.keys() == {"source", "destination", "message", "receipt", "receiptURL"}
    assert (said["receipt"], said["receiptURL"]) == (True, CALLBACK_URL)


@pytest.mark.parametrize(
    ("seconds", "said"), [(3600, True), (60, True), (10_080 * 60, True), (59, False), (10_081 * 60, False)]
)
async def test_a_validity_they_take_is_passed_on(
    make: Callable[..., LoyaltyLt], server: WireServer, seconds: int, said: bool
) -> None:
    """From a minute to a week ahead (LOY send); beyond that our own deadline is all there is."""
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    server.script.append(answer(body_of(SENT)))
    await outcome(make(clock=now.timestamp), valid_until=now + timedelta(seconds=seconds))
    validity = json.loads(server.seen[0].body).get("validity")
    assert validity == (f"{now + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}" if said else None)


async def test_the_base_is_everything_before_the_locale(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    server.script.append(answer(body_of(SENT)))
    await outcome(make(base_url=server.url + "/proxy/", locale="lt/x"))
    assert server.seen[0].target == "/proxy/lt%2Fx/sms/send"


async def test_a_request_holds_one_message(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    provider = make()
    assert provider.requests(messages(3), SENDER) == [[message] for message in messages(3)]
    two = await provider.hand_over(messages(2), SENDER, leave_by())
    assert two == [NotSent("a request holds one message")] * 2
    assert await provider.hand_over([], SENDER, leave_by()) == []
    assert server.connections == 0


async def test_a_text_too_long_is_refused_here(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    server.script.append(answer(body_of(SENT)))
    assert isinstance(await outcome(make(), text="ą" * 1600), Accepted)
    assert await outcome(make(), text="a" * 1601) == CampaignTrouble(
        "text_too_long", "the text is longer than 1600 characters", "text"
    )
    assert len(server.seen) == 1


@pytest.mark.parametrize("field", ["text", "callback_url"])
async def test_half_of_a_character_is_refused_here(
    make: Callable[..., LoyaltyLt], server: WireServer, field: str
) -> None:
    refused = await outcome(make(), **{field: "half \ud83d"})
    assert isinstance(refused, Rejected)
    assert refused.code == "not_unicode"
    assert server.connections == 0


def test_at_least_one_request_at_once(make: Callable[..., LoyaltyLt]) -> None:
    assert make(concurrency=3).traits.concurrency == 3
    assert make().traits.settles_doubt_after_seconds is None
    with pytest.raises(ValueError, match="concurrency"):
        make(concurrency=0)


# --- success ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "amount"),
    [
        ({"amount": 0.1668}, Decimal("0.1668")),
        ({"amount": 5.56e-2}, Decimal("0.0556")),
        ({"amount": 0}, Decimal(0)),
        ({"amount": 1}, Decimal(1)),
        ({"amount": "0.1295"}, Decimal("0.1295")),
        ({"amount": -0.1}, None),
        ({"amount": 1e300}, None),
        ({"amount": 10**12}, None),
        ({"amount": 1e-300}, None),
        ({"amount": True}, None),
        ({"amount": "free"}, None),
        ({"amount": None}, None),
        ({}, None),
        (0.0556, None),
        (None, None),
    ],
)
def test_a_price_is_a_decimal_or_nothing(cost: object, amount: Decimal | None) -> None:
    assert sent(cost=cost) == Accepted(ID, amount, 1)


def test_a_price_is_read_digit_by_digit() -> None:
    body = body_of(SENT).replace(b"0.0556", b"0.100000000000000005")
    assert read_sent(body) == Accepted(ID, Decimal("0.100000000000000005"), 1, "EUR")
    for too_large in (b"1e999999999999", b"1e-999999999999", b"9" * 4000):
        assert read_sent(body_of(SENT).replace(b"0.0556", too_large)) == Accepted(ID, None, 1, "EUR")


@pytest.mark.parametrize(
    ("parts", "count"), [(3, 3), ("3", 3), (0, None), (-1, None), (1.0, None), (True, None), (10**9, None)]
)
def test_parts_are_a_count_or_nothing(parts: object, count: int | None) -> None:
    assert sent(parts=parts) == Accepted(ID, Decimal("0.0556"), count, "EUR")


@pytest.mark.parametrize("message_id", [" msg_1 ", "4092112510348380960001", "id/with?all#of%it", "ž" * 128])
def test_an_id_is_text_and_stays_as_it_is(message_id: str) -> None:
    assert sent(message_id=message_id) == Accepted(message_id, Decimal("0.0556"), 1, "EUR")


@pytest.mark.parametrize(
    "message_id",
    [
        None,
        "",
        "  ",
        0,
        -1,
        17.5,
        4.09e21,
        True,
        ["msg_1"],
        "m" * 129,
        "msg\n1",
        "msg\0",
        "\ud83d",
        ".",
        "..",
    ],
)
def test_taken_without_an_id_is_in_doubt(message_id: object) -> None:
    assert sent(message_id=message_id) == InDoubt("the answer says taken and gives no id that can be used")


@pytest.mark.parametrize(
    "document",
    [
        {**SENT, "success": False},
        {**SENT, "data": None},
        {**SENT, "data": [SENT["data"]]},
        {"success": True, "code": 200},
        b'{"success":true,"data":{"message_id":"msg_1","message_id":"msg_2"}}',
        b'{"data":{"message_id":"msg_1"},"more":NaN}',
        b'{"data":{"message_id":"msg_1"},"more":1e99999999999999999999999}',
        b'\xff\xfe{"data":{"message_id":"msg_1"}}',
    ],
)
def test_a_success_that_cannot_be_read_is_in_doubt(document: object) -> None:
    assert isinstance(read_sent(body_of(document)), InDoubt)


@pytest.mark.parametrize("code", [200, "200", "OK", None, [], {}])
def test_success_does_not_hang_on_its_code(code: object) -> None:
    assert read_sent(body_of({**SENT, "code": code})) == Accepted(ID, Decimal("0.0556"), 1, "EUR")
    assert read_sent(body_of({"data": {"message_id": ID}})) == Accepted(ID)


@pytest.mark.parametrize("status", [201, 202])
async def test_created_and_accepted_are_taken_as_ok_is(
    make: Callable[..., LoyaltyLt], server: WireServer, status: int
) -> None:
    for body, expected in (
        (SENT, Accepted(ID, Decimal("0.0556"), 1, "EUR")),
        ({**SENT, "data": None}, InDoubt("the answer says taken and gives no id that can be used")),
        ({"success": False, "code": 1002}, AccountTrouble("1002", "not enough money")),
        (b"<html>", InDoubt("the answer cannot be read")),
        (b"", InDoubt("the answer cannot be read")),
    ):
        server.script.append(answer(body_of(body), status))
        assert await outcome(make()) == expected


def test_an_id_may_be_a_whole_number() -> None:
    assert sent(message_id=17) == Accepted("17", Decimal("0.0556"), 1, "EUR")
    digits = "4092112510348380960001"
    body = body_of(SENT).replace(f'"{ID}"'.encode(), digits.encode())
    assert read_sent(body) == Accepted(digits, Decimal("0.0556"), 1, "EUR")
    status = b'{"success":true,"data":{"message_id":%s,"status":"sent"}}'
    assert read_status(status % digits.encode(), digits) is not None
    assert read_status(status % b"18", digits) is None
    assert read_status(status % b"0", "0") is None


@pytest.mark.parametrize("status", [204, 206])
async def test_another_success_than_documented_is_in_doubt(
    make: Callable[..., LoyaltyLt], server: WireServer, status: int
) -> None:
    body = b"" if status == 204 else body_of(SENT)
    server.script.append(answer(body, status))
    assert await outcome(make()) == InDoubt(f"HTTP {status}")
