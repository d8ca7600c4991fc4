"""Loyalty.lt: the request as documented, every code, every word, the pace of questions, callbacks."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Throttled,
    WaitForPace,
)
from campaigns.domain.states import MessageState
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import CALLBACK_STATUSES, CODES, STATUSES, read_sent, read_status
from campaigns.providers.loyalty_lt.recently_asked import RecentlyAsked
from campaigns.providers.wire import Wire
from tests.contract.providers.member_loyalty_lt import API_KEY, API_SECRET, LoyaltyLtMember
from tests.contract.providers.members import SENDER, TEXT, messages, words_of
from tests.contract.providers.wire_server import (
    Act,
    WireServer,
    answer,
    cut,
    drip,
    half,
    hang,
)
from tests.waiting import until

PHONE = "+37061234567"
CALLBACK_URL = "https://sms.example.com/callbacks/main/s3cr3t-t0ken"
ID = "msg_abc123def456"
NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)

# As documented (send).
SENT: dict[str, Any] = {
    "success": True,
    "message": "SMS sent successfully",
    "data": {
        "message_id": ID,
        "source": "MyBrand",
        "destination": PHONE,
        "status": "queued",
        "parts": 1,
        "cost": {"amount": 0.0556, "currency": "EUR", "parts_charged": 1},
        "scheduled": None,
        "validity": "2025-01-16T10:30:00Z",
        "marketing_consent_registered": False,
    },
    "code": 200,
}

# As documented (status, and the same in the seed).
STATUS: dict[str, Any] = {
    "success": True,
    "data": {
        "message_id": ID,
        "status": "delivered",
        "source": "MyBrand",
        "destination": PHONE,
        "sent_at": "2025-01-15T10:30:00Z",
        "delivered_at": "2025-01-15T10:30:05Z",
        "failed_at": None,
        "scheduled": None,
        "validity": "2025-01-16T10:30:00Z",
        "cost": {"amount": 0.0556, "currency": "EUR"},
        "error_message": None,
    },
}

# As documented (webhooks).
CALLED_BACK: dict[str, Any] = {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "externalId": "your-reference-123",
    "status": "DELIVERED",
    "recipient": PHONE,
    "timestamp": "2025-01-15T10:30:05.000Z",
    "error": None,
}
UNKNOWN = b'{"success": false, "message": "Message not found"}'


class Hands:
    """A clock a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


Make = Callable[..., LoyaltyLt]


@pytest.fixture
def make(server: WireServer, wire: Wire, hands: Hands) -> Make:
    def made(**more: Any) -> LoyaltyLt:
        return LoyaltyLtMember().make(server, wire, **{"monotonic": hands, **more})

    return made


def leave_by() -> float:
    return asyncio.get_running_loop().time() + 5


async def at_once() -> None:
    """The pace allows it."""


def turns(count: int) -> WaitForPace:
    """So many turns, then a wait of 7 s."""
    left = [None] * count

    async def wait_for_pace() -> None:
        if not left:
            raise PaceUsedUp(7.0)
        left.pop()

    return wait_for_pace


def body_of(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def status_of(message_id: str, word: str = "sent") -> Act:
    return answer(body_of({"success": True, "data": {"message_id": message_id, "status": word}}))


async def outcome(provider: LoyaltyLt, **more: Any) -> Outcome:
    message = OutboundMessage(**{"message_ref": "ref-1", "phone": PHONE, "text": "Hello", **more})
    (only,) = await provider.hand_over([message], SENDER, leave_by())
    return only


# --- the request ------------------------------------------------------------------------------------


async def test_one_message_leaves_as_documented(make: Make, server: WireServer) -> None:
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


async def test_a_callback_is_asked_for_with_its_address(make: Make, server: WireServer) -> None:
    server.script.append(answer(body_of(SENT)))
    await outcome(make(), callback_url=CALLBACK_URL)
    said = json.loads(server.seen[0].body)
    assert said.keys() == {"source", "destination", "message", "receipt", "receiptURL"}
    assert (said["receipt"], said["receiptURL"]) == (True, CALLBACK_URL)


@pytest.mark.parametrize(
    ("seconds", "said"), [(3600, True), (60, True), (10_080 * 60, True), (59, False), (10_081 * 60, False)]
)
async def test_a_validity_they_take_is_passed_on(
    make: Make, server: WireServer, seconds: int, said: bool
) -> None:
    """From a minute to a week ahead (LOY send); beyond that our own deadline is all there is."""
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    server.script.append(answer(body_of(SENT)))
    await outcome(make(clock=now.timestamp), valid_until=now + timedelta(seconds=seconds))
    validity = json.loads(server.seen[0].body).get("validity")
    assert validity == (f"{now + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}" if said else None)


async def test_the_base_is_everything_before_the_locale(make: Make, server: WireServer) -> None:
    server.script.append(answer(body_of(SENT)))
    await outcome(make(base_url=server.url + "/proxy/", locale="lt/x"))
    assert server.seen[0].target == "/proxy/lt%2Fx/sms/send"


async def test_a_request_holds_one_message(make: Make, server: WireServer) -> None:
    provider = make()
    assert provider.requests(messages(3), SENDER) == [[message] for message in messages(3)]
    two = await provider.hand_over(messages(2), SENDER, leave_by())
    assert two == [NotSent("a request holds one message")] * 2
    assert await provider.hand_over([], SENDER, leave_by()) == []
    assert server.connections == 0


async def test_a_text_too_long_is_refused_here(make: Make, server: WireServer) -> None:
    server.script.append(answer(body_of(SENT)))
    assert isinstance(await outcome(make(), text="ą" * 1600), Accepted)
    assert await outcome(make(), text="a" * 1601) == CampaignTrouble(
        "text_too_long", "the text is longer than 1600 characters", "text"
    )
    assert len(server.seen) == 1


@pytest.mark.parametrize("field", ["text", "callback_url"])
async def test_half_of_a_character_is_refused_here(make: Make, server: WireServer, field: str) -> None:
    refused = await outcome(make(), **{field: "half \ud83d"})
    assert isinstance(refused, Rejected)
    assert refused.code == "not_unicode"
    assert server.connections == 0


def test_at_least_one_request_at_once(make: Make) -> None:
    assert make(concurrency=3).traits.concurrency == 3
    assert make().traits.settles_doubt_after_seconds is None
    with pytest.raises(ValueError, match="concurrency"):
        make(concurrency=0)


# --- success ----------------------------------------------------------------------------------------


def sent(**data: object) -> object:
    return read_sent(body_of({**SENT, "data": {**SENT["data"], **data}}))


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
async def test_created_and_accepted_are_taken_as_ok_is(make: Make, server: WireServer, status: int) -> None:
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
    make: Make, server: WireServer, status: int
) -> None:
    body = b"" if status == 204 else body_of(SENT)
    server.script.append(answer(body, status))
    assert await outcome(make()) == InDoubt(f"HTTP {status}")


# --- errors -----------------------------------------------------------------------------------------

DOCUMENTED_CODES = {
    401: {"1001", "1004", "401"},
    402: {"1002"},
    403: {"403"},
    429: {"1003", "429"},
    422: {"2001", "2002", "VALIDATION_ERROR", "422"},
    400: {"400"},
}


def test_every_documented_code_is_in_the_table_and_no_other() -> None:
    listed = {
        status: {code for code, line in CODES.items() if line[0] == status} for status in DOCUMENTED_CODES
    }
    assert listed == DOCUMENTED_CODES
    assert sum(map(len, listed.values())) == len(CODES)
    assert all(words and source for _, words, source in CODES.values())


def forms(code: str) -> list[object]:
    return [code, int(code)] if code.isdigit() else [code]


@pytest.mark.parametrize(("code", "form"), [(code, form) for code in CODES for form in forms(code)])
async def test_every_code_has_its_outcome(make: Make, server: WireServer, code: str, form: object) -> None:
    status, words, _ = CODES[code]
    server.script.append(answer(body_of({"success": False, "message": "…", "code": form}), status))
    match status:
        case 401 | 402 | 403:
            expected: Outcome = AccountTrouble(code, words)
        case 429:
            expected = Throttled(None, "HTTP 429")
        case _ if code == "2001":
            expected = CampaignTrouble(code, words, "sender")
        case _:
            expected = Rejected(code, words)
    assert await outcome(make()) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AccountTrouble("http_401", "the API key or secret is missing or wrong")),
        (402, AccountTrouble("http_402", "not enough money")),
        (403, AccountTrouble("http_403", "the key or its plan may not do that")),
        (404, AccountTrouble("http_404", "the address is wrong")),
        (405, AccountTrouble("http_405", "the address is wrong")),
        (410, AccountTrouble("http_410", "the address is wrong")),
        (413, Rejected("http_413", "the request is too long")),
        (422, Rejected("http_422", "found invalid", is_unclear=True)),
        (429, Throttled(None, "HTTP 429")),
        (503, Throttled(None, "HTTP 503")),
        (400, InDoubt("HTTP 400")),
        (408, InDoubt("HTTP 408")),
        (409, InDoubt("HTTP 409")),
        (500, InDoubt("HTTP 500")),
        (502, InDoubt("HTTP 502")),
        (504, InDoubt("HTTP 504")),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b'{"code": null}', b'{"code": [1001]}'])
async def test_the_http_status_decides_without_a_code(
    make: Make, server: WireServer, status: int, expected: Outcome, body: bytes
) -> None:
    server.script.append(answer(body, status))
    assert await outcome(make()) == expected


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (402, 2001, AccountTrouble("2001", "not enough money")),
        # But for money, credentials and pace, which are never one message's fault.
        (422, 1001, AccountTrouble("1001", "found invalid")),
        (422, 1002, AccountTrouble("1002", "found invalid")),
        (400, 1003, Throttled(None, "found unacceptable")),
        (422, 9999, Rejected("9999", "found invalid")),
        (422, "SOMETHING_NEW", Rejected("SOMETHING_NEW", "found invalid")),
        (500, 1001, InDoubt("HTTP 500")),
        (500, 2002, InDoubt("HTTP 500")),
        (302, 2002, InDoubt("HTTP 302")),
    ],
)
async def test_the_http_status_decides_against_a_code(
    make: Make, server: WireServer, status: int, code: object, expected: Outcome
) -> None:
    server.script.append(answer(body_of({"success": False, "code": code}), status))
    assert await outcome(make()) == expected


@pytest.mark.parametrize("data", [None, [], {}, "absent"])
@pytest.mark.parametrize("code", CODES)
async def test_a_code_in_http_200_is_as_clear_as_its_own_status(
    make: Make, server: WireServer, code: str, data: object
) -> None:
    """No money was a whole campaign in doubt, for good."""
    said = {"success": False, "message": "…", "code": code, **({} if data == "absent" else {"data": data})}
    server.script.append(answer(body_of(said), headers={"Retry-After": "7"}))
    status, words, _ = CODES[code]
    match status:
        case 401 | 402 | 403:
            expected: Outcome = AccountTrouble(code, words)
        case 429:
            expected = Throttled(7.0, words)
        case _ if code == "2001":
            expected = CampaignTrouble(code, words, "sender")
        case _:
            expected = Rejected(code, words)
    assert await outcome(make()) == expected


@pytest.mark.parametrize(
    "said",
    [
        {"success": False},
        {"success": False, "code": 200},
        {"success": False, "code": 9999},
        {"success": False, "code": 1003, "data": {"message_id": ID}},
        {"success": False, "code": 1003, "data": {"message_id": 17}},
        {"success": False, "code": 1003, "message_id": ID},
        {"success": False, "code": 1003, "data": {"status": "queued"}},
        {"success": "false", "code": 1003},
        {"success": None, "code": 1003},
        {"success": 0, "data": {"message_id": ID}},
        {"success": "false", "data": {"message_id": ID}},
        {"code": 1003},
    ],
)
async def test_a_no_that_is_not_clear_is_in_doubt(
    make: Make, server: WireServer, said: dict[str, object]
) -> None:
    server.script.append(answer(body_of(said)))
    assert isinstance(await outcome(make()), InDoubt)


@pytest.mark.parametrize(
    "code", [PHONE, PHONE[1:], 37061234567, "a text of ours", "x" * 300, True, 1.5, "1001 ", "", "é"]
)
async def test_what_cannot_be_a_code_is_none(make: Make, server: WireServer, code: object) -> None:
    server.script.append(answer(body_of({"success": False, "code": code}), 422))
    assert await outcome(make()) == Rejected("http_422", "found invalid", is_unclear=True)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        (
            {
                "destination": ["The destination format is invalid."],
                "message": ["The message field is required."],
            },
            "found invalid: destination, message",
        ),
        ({PHONE: ["is wrong"]}, "found invalid"),
        ({"receiptURL": ["bad"], "destination": ["bad"]}, "found invalid: destination, receiptURL"),
        ({"receiptURL": ["bad"], "something": ["bad"]}, "found invalid: receiptURL"),
        ([{"field": "receiptURL"}, {"message": "and more"}], "found invalid: receiptURL"),
        ({}, "found invalid"),
        ([], "found invalid"),
        ("receiptURL", "found invalid"),
    ],
)
async def test_the_fields_at_fault_are_named_and_nothing_else(
    make: Make, server: WireServer, errors: object, reason: str
) -> None:
    said = {"success": False, "message": "…", "code": "VALIDATION_ERROR", "errors": errors}
    server.script.append(answer(body_of(said), 422))
    assert await outcome(make()) == Rejected("VALIDATION_ERROR", reason)


@pytest.mark.parametrize(
    ("errors", "code", "expected"),
    [
        (
            [{"field": "source", "message": f"not for {PHONE}", "code": "INVALID_VALUE"}],
            422,
            CampaignTrouble("422", "found invalid: source", "sender"),
        ),
        ({"message": ["too long"]}, 422, CampaignTrouble("422", "found invalid: message", "text")),
        (
            {"message": ["too long"], "source": ["too long"]},
            "VALIDATION_ERROR",
            CampaignTrouble("VALIDATION_ERROR", "found invalid: message, source", "sender"),
        ),
        (
            {"source": ["bad"], "destination": ["bad"]},
            2001,
            Rejected("2001", "sender name not approved: destination, source"),
        ),
    ],
)
@pytest.mark.parametrize("status", [422, 400])
async def test_what_is_the_campaign_s_fault_is_told_from_what_is_the_number_s(
    make: Make, server: WireServer, errors: object, code: object, expected: Outcome, status: int
) -> None:
    server.script.append(answer(body_of({"success": False, "code": code, "errors": errors}), status))
    assert type(found := await outcome(make())) is type(expected)
    assert status == 400 or found == expected


@pytest.mark.parametrize("errors", [{"receiptURL": ["must be https"]}, [{"field": "receiptURL"}]])
async def test_no_message_is_lost_over_our_own_callback_address(
    make: Make, server: WireServer, errors: object
) -> None:
    server.script.append(answer(body_of({"success": False, "code": 422, "errors": errors}), 422))
    assert await outcome(make(), callback_url=CALLBACK_URL) == AccountTrouble(
        "422", "the callback address is found invalid: receiptURL"
    )


# --- status -----------------------------------------------------------------------------------------


def test_every_documented_word_is_in_its_table_and_no_other() -> None:
    assert {word: state for word, (state, _) in STATUSES.items()} == {
        "queued": MessageState.ACCEPTED,
        "sent": MessageState.SENT,
        "delivered": MessageState.DELIVERED,
        "failed": MessageState.FAILED,
        "expired": MessageState.EXPIRED,
    }
    assert {word: line[:2] for word, line in CALLBACK_STATUSES.items()} == {
        "SENT": (MessageState.SENT, False),
        "DELIVERED": (MessageState.DELIVERED, False),
        "FAILED": (MessageState.FAILED, False),
        "UNDELIVERABLE": (MessageState.UNDELIVERED, True),
    }
    assert all(line[-1] for line in (*STATUSES.values(), *CALLBACK_STATUSES.values()))


async def test_a_status_is_asked_for_as_documented(make: Make, server: WireServer) -> None:
    server.script.append(answer(body_of(STATUS)))
    assert await make(locale="lt").ask([ID], at_once) == Answers(
        [
            Receipt(
                ID,
                MessageState.DELIVERED,
                "delivered",
                changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
                cost=Decimal("0.0556"),
                currency="EUR",
            )
        ]
    )
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("GET", f"/lt/sms/status/{ID}", b"")
    assert (seen.headers["x-api-key"], seen.headers["x-api-secret"]) == (API_KEY, API_SECRET)
    assert seen.headers["accept"] == "application/json"


async def test_an_id_is_percent_encoded(make: Make, server: WireServer) -> None:
    odd = "../ž?a=1#%41 +"
    server.script.append(status_of(odd))
    assert [receipt.provider_message_id for receipt in (await make().ask([odd], at_once)).receipts] == [odd]
    assert server.seen[0].target == "/en/sms/status/..%2F%C5%BE%3Fa%3D1%23%2541%20%2B"


async def test_what_cannot_be_an_id_is_not_asked_for(make: Make, server: WireServer) -> None:
    answers = await make().ask(["", " ", "..", ".", "m" * 129, "msg\n1", "\ud83d"], at_once)
    assert answers == Answers([])
    assert server.connections == 0


def test_a_status_is_read_whole() -> None:
    assert read_status(body_of(STATUS), ID) == Sighting(
        ID,
        MessageState.DELIVERED,
        "delivered",
        phone=PHONE,
        cost=Decimal("0.0556"),
        currency="EUR",
        changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
    )
    failed = {
        "message_id": "msg_failed123",
        "status": "failed",
        "destination": PHONE[1:],
        "sent_at": "2025-01-15T12:30:00+02:00",
        "failed_at": "2025-01-15T10:29:02",  # before it was sent: its own moment counts
        "validity": None,
        "parts": 2,
        "cost": {"amount": 0.1, "currency": "usd"},
        "error_message": "Number +370 612 34567 not in service",
    }
    assert read_status(body_of({"success": True, "data": failed}), "msg_failed123") == Sighting(
        "msg_failed123",
        MessageState.FAILED,
        "failed",
        phone=PHONE,
        changed_at=datetime(2025, 1, 15, 10, 29, 2, tzinfo=UTC),
        segment_count=2,
        cost=Decimal("0.1"),
        currency="USD",
        reason="Number +# not in service",
    )


@pytest.mark.parametrize(
    "data",
    [
        {"sent_at": "yesterday", "delivered_at": 1736937005, "failed_at": "0001-01-01T00:00:00+14:00"},
        {"destination": "somebody", "cost": {"amount": {}}},
        {"destination": 37061234567, "cost": []},
        {"message_id": None},
    ],
)
def test_of_a_status_only_the_word_must_be_there(data: dict[str, object]) -> None:
    said = {"status": "sent", **data}
    assert read_status(body_of({"data": said}), ID) == Sighting(ID, MessageState.SENT, "sent")


@pytest.mark.parametrize(
    "document",
    [
        {"success": True, "data": {"message_id": "msg_another", "status": "delivered"}},
        {"success": False, "data": {"message_id": ID, "status": "delivered"}},
        {"success": True, "data": {"message_id": ID}},
        {"success": True, "data": {"message_id": ID, "status": 3}},
        {"success": True, "data": {"message_id": ID, "status": " "}},
        {"success": True, "status": "delivered"},
        [STATUS],
        b"",
    ],
)
async def test_a_status_that_cannot_be_read_is_trouble(
    make: Make, server: WireServer, document: object
) -> None:
    server.script.append(answer(body_of(document)))
    assert await make().ask([ID], at_once) == Answers([], "Loyalty.lt's answer cannot be read")


def test_words_are_bounded_and_known_in_either_case() -> None:
    def read(word: str) -> tuple[MessageState | None, str]:
        sighting = read_status(body_of({"data": {"status": word}}), ID)
        assert sighting is not None
        return sighting.evidence, sighting.provider_state

    assert read("Delivered") == (MessageState.DELIVERED, "Delivered")
    assert read("tele\n\0ported" * 20) == (None, ("teleported" * 20)[:64])
    assert read("UNDELIVERABLE") == (None, "UNDELIVERABLE")  # no word of the status page


async def test_ids_they_do_not_know_are_left_out(make: Make, server: WireServer) -> None:
    server.script.extend([answer(UNKNOWN, 404)] * 2)
    assert await make().ask(["msg_1", "msg_2"], at_once) == Answers([])
    assert len(server.seen) == 2


def in_order(ids: Sequence[str], _count: int) -> list[str]:
    """In place of the random order in which they are asked."""
    return list(ids)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"<html>not found</html>", "HTTP 404"),
        (404, b'{"message": "The route could not be found."}', "HTTP 404"),
        (401, b'{"success":false,"code":1001}', "the API key or secret is wrong (HTTP 401)"),
        (402, b"", "not enough money (HTTP 402)"),
        (403, b"", "may not do that (HTTP 403)"),
        (500, UNKNOWN, "HTTP 500"),
        (302, b"", "HTTP 302"),
    ],
)
async def test_trouble_ends_the_round(
    make: Make, server: WireServer, status: int, body: bytes, words: str
) -> None:
    server.script.extend([status_of("msg_1"), answer(body, status)])
    provider = make(concurrency=1)
    ids = ["msg_1", "msg_2", "msg_3", "msg_4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaigns.providers.base.sample", in_order)
        answers = await provider.ask(ids, at_once)
    assert answers.trouble is not None
    assert words in answers.trouble
    assert answers.receipts == [Receipt("msg_1", MessageState.SENT, "sent")]
    assert len(server.seen) == 2


async def test_one_unreadable_answer_does_not_end_the_round_and_three_do(
    make: Make, server: WireServer
) -> None:
    ids = [f"msg_{at}" for at in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaigns.providers.base.sample", in_order)
        server.script.extend(
            [answer(b"<html>"), status_of(ids[1]), answer(b"{}", 422), status_of(ids[3]), answer(b"null")]
        )
        answers = await make(concurrency=1).ask(ids, at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == [ids[1], ids[3]]
    assert answers.trouble == "Loyalty.lt's answer cannot be read"
    assert len(server.seen) == 5


@pytest.mark.parametrize("act", [cut(), half(b'{"success": true}')])
async def test_a_question_never_goes_out_a_second_time_by_itself(
    make: Make, server: WireServer, act: Act
) -> None:
    """aiohttp would ask again by itself, which is the same id again at once."""
    server.script.extend([status_of("msg_1"), act])
    provider = make()
    assert (await provider.ask(["msg_1"], at_once)).trouble is None  # and the connection is kept
    answers = await provider.ask(["msg_2"], at_once)
    assert answers.trouble == "Loyalty.lt did not answer: connection cut before the answer was whole"
    assert [seen.path for seen in server.seen] == ["/en/sms/status/msg_1", "/en/sms/status/msg_2"]


# --- turns and questions at once --------------------------------------------------------------------


async def test_as_many_questions_at_once_as_allowed(make: Make, server: WireServer) -> None:
    ids = [f"msg_{at}" for at in range(7)]
    most = 0

    def three_are_here() -> bool:
        nonlocal most
        most = max(most, server.open_connections)
        return len(server.seen) >= 3

    def act(at: int) -> Act:
        async def when_three(writer: asyncio.StreamWriter) -> None:
            await until(three_are_here)
            message_id = server.seen[at].path.rpartition("/")[2]
            await status_of(message_id)(writer)

        return when_three

    server.script.extend(act(at) for at in range(7))
    answers = await make(concurrency=3).ask(ids, at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids
    assert most == 3


async def test_each_question_waits_for_its_turn(make: Make, server: WireServer) -> None:
    ids = [f"msg_{at}" for at in range(5)]
    asked: list[int] = []

    async def wait_for_pace() -> None:
        asked.append(len(server.seen))

    server.script.extend([answer(UNKNOWN, 404)] * 5)
    assert await make(concurrency=1).ask(ids, wait_for_pace) == Answers([])
    assert asked == [0, 1, 2, 3, 4]


async def test_our_own_pace_does_not_hide_trouble(make: Make, server: WireServer) -> None:
    server.script.append(answer(b"<html>"))
    answers = await make(concurrency=1).ask(["msg_1", "msg_2"], turns(1))
    assert answers == Answers([], "Loyalty.lt's answer cannot be read", 7.0)


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_round_ends_when_the_turns_do(make: Make, server: WireServer, concurrency: int) -> None:
    ids = [f"msg_{at}" for at in range(9)]
    assert await make(concurrency=concurrency).ask(ids, turns(0)) == Answers([], None, 7.0)
    server.script.extend([answer(UNKNOWN, 404)] * 2)
    assert await make(concurrency=concurrency).ask(ids, turns(2)) == Answers([], None, 7.0)
    assert len(server.seen) == 2


def still_asking() -> int:
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return names.count("ask_each.<locals>.line")


async def test_trouble_while_others_wait_for_their_turn(make: Make, server: WireServer) -> None:
    ready, first = asyncio.Event(), True

    async def wait_for_pace() -> None:
        nonlocal first
        if first:
            first = False
            return
        await ready.wait()

    server.script.append(answer(b"", 429, {"Retry-After": "9"}))
    asking = asyncio.create_task(make(concurrency=3).ask(["msg_1", "msg_2", "msg_3"], wait_for_pace))
    await until(lambda: server.seen != [] and still_asking() == 2)  # the first one is done
    ready.set()
    answers = await asking
    assert (answers.receipts, answers.trouble, answers.retry_after_seconds) == (
        [],
        "Loyalty.lt answered HTTP 429",
        9.0,
    )
    assert len(server.seen) == 1


async def test_every_id_gets_its_turn_in_the_end(make: Make, server: WireServer, hands: Hands) -> None:
    """A pace of one question a round must not ask for the same first id for ever."""
    provider, ids = make(), [f"msg_{at}" for at in range(4)]
    seen: set[str] = set()
    for _ in range(400):  # a chance of 4 * 0.75**400 to fail
        server.script.append(answer(UNKNOWN, 404))
        await provider.ask(ids, turns(1))
        hands.now += 5
        seen.add(server.seen[-1].path)
        if len(seen) == 4:
            return
    pytest.fail("some ids were never asked for")


async def test_a_bug_in_the_pace_shows_as_itself(make: Make, server: WireServer) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await make().ask(["msg_1", "msg_2"], broken)
    assert server.connections == 0


async def test_a_cancelled_round_is_cancelled(make: Make, server: WireServer, hands: Hands) -> None:
    provider = make()
    server.script.append(drip(b" " * 1_000_000))
    task = asyncio.create_task(provider.ask([ID], at_once))
    await until(lambda: len(server.seen) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections == 0)
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)  # it was asked nevertheless


# --- five seconds -----------------------------------------------------------------------------------


async def test_the_same_id_waits_five_seconds(make: Make, server: WireServer, hands: Hands) -> None:
    provider = make()
    server.script.append(status_of(ID))
    assert len((await provider.ask([ID, ID], at_once)).receipts) == 1
    hands.now += 1.5
    assert await provider.ask([ID], at_once) == Answers([], None, 3.5)
    server.script.append(status_of("msg_2"))
    answers = await provider.ask([ID, "msg_2"], at_once)  # the other one may be asked
    assert answers == Answers([Receipt("msg_2", MessageState.SENT, "sent")])
    hands.now += 3.25
    assert await provider.ask([ID, "msg_2"], at_once) == Answers([], None, 1.75)
    hands.now += 0.25
    server.script.append(status_of(ID, "delivered"))
    assert len((await provider.ask([ID], at_once)).receipts) == 1
    assert len(server.seen) == 3


async def test_five_seconds_are_counted_from_the_answer(make: Make, server: WireServer, hands: Hands) -> None:
    """A question slow on its way arrives late: from when it left, the next could follow at once."""
    provider, come = make(), asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await come.wait()
        await status_of(ID)(writer)

    server.script.append(late)
    asking = asyncio.create_task(provider.ask([ID], at_once))
    await until(lambda: len(server.seen) == 1)
    hands.now += 30
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)  # it is on its way
    come.set()
    assert len((await asking).receipts) == 1
    hands.now += 4.5
    assert await provider.ask([ID], at_once) == Answers([], None, 0.5)
    assert len(server.seen) == 1


async def test_two_rounds_at_once_ask_once(make: Make, server: WireServer) -> None:
    """Both find that the id may be asked, and then both wait for their turn."""
    provider, ready, waiting = make(), asyncio.Event(), 0

    async def wait_for_pace() -> None:
        nonlocal waiting
        waiting += 1
        await ready.wait()

    server.script.append(status_of(ID))
    rounds = [asyncio.create_task(provider.ask([ID], wait_for_pace)) for _ in range(2)]
    await until(lambda: waiting == 2)
    ready.set()
    first, second = sorted(await asyncio.gather(*rounds), key=lambda answers: len(answers.receipts))
    assert (list(first.receipts), first.trouble, first.retry_after_seconds) == ([], None, 5.0)
    assert len(second.receipts) == 1
    assert len(server.seen) == 1


async def test_a_question_in_vain_counts_too(make: Make, server: WireServer, hands: Hands) -> None:
    provider = make()
    server.script.append(answer(b"", 500))
    await provider.ask([ID], at_once)
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)
    with pytest.raises(PaceUsedUp) as later:
        await provider.find(Question("id", ID), at_once)
    assert later.value.wait_seconds == 5.0
    assert len(server.seen) == 1


def quarters(most: int) -> st.SearchStrategy[float]:
    """Seconds that add up without rounding."""
    return st.integers(0, 4 * most).map(lambda count: count / 4)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), quarters(3), quarters(8), st.booleans()), max_size=60))
def test_no_id_is_ever_asked_within_five_seconds_and_nothing_grows(
    steps: list[tuple[str, float, float, bool]],
) -> None:
    hands = Hands()
    recently = RecentlyAsked(5.0, hands, most_remembered=3)
    asked_at: dict[str, float] = {}
    for asked, pause, flight, breaks in steps:
        hands.now += pause
        wait_seconds = recently.wait_seconds(asked)
        assert 0 <= wait_seconds <= 5
        if wait_seconds:
            continue
        assert hands.now - asked_at.get(asked, -100) >= 5
        try:
            with recently.asking(asked):
                assert recently.wait_seconds(asked) == 5
                hands.now += flight
                if breaks:
                    raise ConnectionError
        except ConnectionError:
            assert breaks
        asked_at[asked] = hands.now
        assert len(recently) <= 3
    hands.now += 5
    assert recently.wait_seconds("a") == 0
    assert len(recently) == 0


def test_the_oldest_is_forgotten_first_whoever_asked_too_soon() -> None:
    hands = Hands()
    recently = RecentlyAsked(5.0, hands)
    for asked in ("a", "b", "a"):
        with recently.asking(asked):
            hands.now += 1
    hands.now += 4
    assert (recently.wait_seconds("b"), len(recently)) == (0, 1)
    assert recently.wait_seconds("a") == 1


def test_what_is_full_lets_nobody_ask_before_somebody_leaves() -> None:
    hands = Hands()
    recently = RecentlyAsked(5.0, hands, most_remembered=2)
    with recently.asking("a"), recently.asking("b"):
        assert recently.wait_seconds("c") == 5
    hands.now += 3
    assert recently.wait_seconds("c") == 2
    hands.now += 2
    assert recently.wait_seconds("c") == 0


# --- look_up, find, probe and what they do not tell -------------------------------------------------


async def test_looking_up_is_not_possible(make: Make, server: WireServer) -> None:
    provider = make()
    found = await provider.look_up([], at_once)
    assert (list(found.seen), list(found.absent)) == ([], [])
    assert found.trouble == "Loyalty.lt cannot be asked by our reference: only a callback tells"
    assert server.connections == 0


async def test_finding_by_id(make: Make, server: WireServer) -> None:
    provider = make()
    server.script.extend([answer(body_of(STATUS)), answer(UNKNOWN, 404)])
    assert await provider.find(Question("id", ID), at_once) == [read_status(body_of(STATUS), ID)]
    assert await provider.find(Question("id", "msg_2"), at_once) == []
    assert await provider.find(Question("id", ".."), at_once) == []
    with pytest.raises(PaceUsedUp):
        await provider.find(Question("id", ID), at_once)
    with pytest.raises(PaceUsedUp):
        await provider.find(Question("id", "msg_3"), turns(0))
    assert len(server.seen) == 2


async def test_finding_keeps_to_the_five_seconds_before_and_after_its_turn(
    make: Make, server: WireServer
) -> None:
    provider, turns_taken = make(), 0

    async def wait_for_pace() -> None:
        nonlocal turns_taken
        turns_taken += 1
        if turns_taken == 1:
            await provider.ask([ID], at_once)

    server.script.append(answer(body_of(STATUS)))
    for _ in range(2):
        with pytest.raises(PaceUsedUp) as later:
            await provider.find(Question("id", ID), wait_for_pace)
        assert later.value.wait_seconds == 5.0
    assert (len(server.seen), turns_taken) == (1, 1)  # the second time no turn was spent on it


@pytest.mark.parametrize("by", ["phone", "reference"])
async def test_finding_by_anything_else_is_refused(make: Make, server: WireServer, by: Any) -> None:
    with pytest.raises(ProviderRefused, match="by its own id alone"):
        await make().find(Question(by, PHONE), at_once)
    assert server.connections == 0


async def test_finding_in_vain_is_refused(make: Make, server: WireServer) -> None:
    server.script.append(answer(b"", 500))
    with pytest.raises(ProviderRefused, match="HTTP 500"):
        await make().find(Question("id", ID), at_once)


@pytest.mark.parametrize(
    ("body", "status"), [(UNKNOWN, 404), (body_of(STATUS), 200), (b'{"success": true, "data": null}', 200)]
)
async def test_a_probe_finds_access_well(make: Make, server: WireServer, body: bytes, status: int) -> None:
    server.script.append(answer(body, status))
    assert await make().probe() is None
    assert (server.seen[0].method, server.seen[0].target) == ("GET", "/en/sms/status/msg_0")
    assert server.seen[0].headers["x-api-key"] == API_KEY


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"success":false,"code":1001}', 401, "the API key or secret is wrong"),
        (b"", 402, "not enough money"),
        (b"", 403, "may not do that"),
        (b"<html>not here</html>", 404, "HTTP 404"),
        (b'{"message":"The route could not be found."}', 404, "HTTP 404"),
        (b"<html>welcome</html>", 200, "cannot be read"),
        (b"[]", 200, "cannot be read"),
        (b"", 503, "HTTP 503"),
    ],
)
async def test_a_probe_in_vain_is_refused(
    make: Make, server: WireServer, body: bytes, status: int, words: str
) -> None:
    server.script.append(answer(body, status))
    with pytest.raises(ProviderRefused) as refused:
        await make().probe()
    assert words in str(refused.value)


async def test_a_probe_that_reaches_nobody_is_refused(make: Make, server: WireServer) -> None:
    server.stop_listening()
    with pytest.raises(ProviderRefused, match="connection refused"):
        await make().probe()


async def test_probes_within_five_seconds_share_an_answer(
    make: Make, server: WireServer, hands: Hands
) -> None:
    provider = make()
    server.script.append(answer(UNKNOWN, 404))
    assert await asyncio.gather(*(provider.probe() for _ in range(3))) == [None] * 3
    hands.now += 4.9
    assert await provider.probe() is None
    assert len(server.seen) == 1
    hands.now += 0.2
    server.script.append(answer(b"", 401))
    for _ in range(2):
        with pytest.raises(ProviderRefused, match="HTTP 401"):
            await provider.probe()
    assert len(server.seen) == 2


async def test_a_probe_keeps_to_the_five_seconds_of_others(make: Make, server: WireServer) -> None:
    provider = make()
    server.script.append(answer(UNKNOWN, 404))
    assert await provider.find(Question("id", "msg_0"), at_once) == []
    with pytest.raises(ProviderRefused, match="a moment ago"):
        await provider.probe()
    assert len(server.seen) == 1


async def test_balance_and_statistics_are_not_told(make: Make, server: WireServer) -> None:
    for question in (make().balance(), make().statistics("2025-01")):
        with pytest.raises(ProviderRefused, match=r"^Loyalty\.lt does not tell [a-z ]+ over its API\.$"):
            await question
    assert server.connections == 0


# --- callbacks --------------------------------------------------------------------------------------


def callback(
    document: object,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    query: Sequence[tuple[str, str]] = (),
) -> Callback:
    given_headers = {"Content-Type": "application/json"} if headers is None else headers
    return Callback(method, CALLBACK_URL, given_headers, query, body_of(document), NOW)


def test_a_callback_as_documented(make: Make) -> None:
    assert make().read_callback(callback(CALLED_BACK)) == [
        Receipt(
            None,
            MessageState.DELIVERED,
            "DELIVERED",
            message_ref="your-reference-123",
            changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize("word", CALLBACK_STATUSES)
def test_every_word_of_a_callback_is_evidence(make: Make, word: str) -> None:
    state, is_coarse, _ = CALLBACK_STATUSES[word]
    said = {**CALLED_BACK, "status": word, "externalId": None}
    receipts = make().read_callback(callback(said))
    assert words_of(receipts) == [Receipt(None, state, word, is_coarse=is_coarse)]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ("Number +37061234567 not in service", None, "Number +# not in service"),
        ({"code": 2002, "message": "invalid"}, "2002", "invalid"),
        ({"code": "37061234567", "message": {}}, None, None),
        (None, None, None),
        (False, None, None),
        (["x"], None, None),
        ("", None, None),
    ],
)
def test_a_callback_says_why(make: Make, error: object, code: str | None, reason: str | None) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "status": "FAILED", "error": error}))
    assert (receipt.code, receipt.reason) == (code, reason)


@pytest.mark.parametrize("word", ["teleported", "EXPIRED", "QUEUED"])
def test_an_unknown_word_of_a_callback_is_kept(make: Make, word: str) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "status": word}))
    assert (receipt.evidence, receipt.provider_state, receipt.is_coarse) == (None, word, False)


def test_their_own_uuid_is_never_taken_for_the_id_of_a_send(make: Make) -> None:
    for more, named in (({}, None), ({"message_id": ID}, ID), ({"message_id": 7}, "7")):
        (receipt,) = make().read_callback(callback({**CALLED_BACK, "id": ID, **more}))
        assert receipt.provider_message_id == named


@pytest.mark.parametrize("reference", [None, "", 7, "x" * 129, "a\nb", ["a"]])
def test_a_reference_that_cannot_be_one_is_none(make: Make, reference: object) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "externalId": reference}))
    assert receipt.message_ref is None


def test_a_callback_needs_nothing_but_its_word(make: Make) -> None:
    assert make().read_callback(callback({"status": "SENT", "more": [{}]})) == [
        Receipt(None, MessageState.SENT, "SENT")
    ]


@pytest.mark.parametrize("method", ["GET", "PUT", "post"])
def test_a_callback_comes_by_post(make: Make, method: str) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(CALLED_BACK, method, query=[("status", "DELIVERED")]))
    assert refused.value.status == 405


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"content-type": "application/json; charset=utf-8"}, True),
        ({"CONTENT-TYPE": "Application/JSON"}, True),
        ({}, False),
        ({"Content-Type": ""}, False),
        ({"Content-Type": "text/plain"}, False),
        ({"Content-Type": "application/x-www-form-urlencoded"}, False),
        ({"Content-Type": "application/jsonp"}, False),
    ],
)
def test_a_callback_is_json(make: Make, headers: dict[str, str], taken: bool) -> None:
    if taken:
        assert len(make().read_callback(callback(CALLED_BACK, headers=headers))) == 1
        return
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(CALLED_BACK, headers=headers))
    assert refused.value.status == 415


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"\xff",
        [CALLED_BACK],
        "DELIVERED",
        None,
        {},
        {"status": 3},
        {"status": ""},
        {"status": "\n"},
        b'{"status":"SENT","status":"DELIVERED"}',
        b"[" * 200_000,
    ],
)
def test_a_callback_that_cannot_be_read_is_refused(make: Make, document: object) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(document))
    assert refused.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
CALLED_BACK_WITH_ANYTHING = st.fixed_dictionaries(
    {}, optional={name: JSON | st.text(max_size=200) for name in (*CALLED_BACK, "message_id")}
)


@given(
    body=st.binary(max_size=200)
    | JSON.map(body_of)
    | CALLED_BACK_WITH_ANYTHING.map(lambda document: json.dumps(document).encode())
)
def test_no_bytes_break_the_reading_of_a_callback(body: bytes) -> None:
    provider = LoyaltyLt(name="main", api_key=API_KEY, api_secret=API_SECRET, wire=None)  # type: ignore[arg-type]
    try:
        receipts = provider.read_callback(callback(body))
    except CallbackRefused:
        return
    (receipt,) = receipts
    assert 0 < len(receipt.provider_state) <= 64
    assert receipt.provider_state.isprintable()
    for named in (receipt.provider_message_id, receipt.message_ref):
        assert named is None or 0 < len(named) <= 128


@given(body=st.binary(max_size=200) | JSON.map(body_of) | JSON.map(lambda data: body_of({"data": data})))
def test_no_bytes_break_the_reading_of_a_status(body: bytes) -> None:
    assert read_status(body, ID) is None or b"status" in body


# --- what is never shown ----------------------------------------------------------------------------


async def test_nothing_else_shows_a_secret_a_number_or_a_text(
    make: Make, server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The suite looks at hand-overs and polls; these are the other doors. Who answers repeats all of it."""
    caplog.set_level(logging.DEBUG)
    speaking = {
        "success": False,
        "message": f"{API_KEY} {API_SECRET} {PHONE} {TEXT}",
        "code": PHONE,
        "errors": {PHONE: [TEXT], API_SECRET: [], "destination": [PHONE]},
    }
    shown: list[str] = []
    acts = [
        answer(body_of(speaking), status) for status in (200, 302, 400, 401, 402, 403, 404, 422, 429, 500)
    ]
    for act in [*acts, answer(body_of(str(speaking))), cut(), half(body_of(speaking)), hang()]:
        provider = make(timeout_seconds=0.3)
        for door in (
            lambda provider=provider: provider.find(Question("id", ID), at_once),
            lambda provider=provider: provider.probe(),
            lambda provider=provider: outcome(provider, text=TEXT, callback_url=CALLBACK_URL),
        ):
            server.script.append(act)
            try:
                shown.append(repr(await door()))
            except ProviderRefused as refused:
                shown.append("".join(traceback.format_exception(refused)))
    for document in (speaking, {"status": 7, **speaking}, f"{PHONE} {TEXT}"):
        with pytest.raises(CallbackRefused) as not_taken:
            make().read_callback(callback(document))
        shown.append("".join(traceback.format_exception(not_taken.value)))
    shown += [repr(callback(CALLED_BACK)), repr(provider), str(provider), caplog.text]
    assert len(shown) > 40
    for hidden in (API_KEY, API_SECRET, PHONE[1:], PHONE[4:], TEXT, TEXT[:12], "4711", "s3cr3t-t0ken"):
        assert not [text for text in shown if hidden in text], hidden
