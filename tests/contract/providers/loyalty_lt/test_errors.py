"""Every code of Loyalty.lt, every HTTP status, and what is in doubt."""

from collections.abc import Callable

import pytest

from campaigns.domain.provider import AccountTrouble, CampaignTrouble, InDoubt, Outcome, Rejected, Throttled
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import CODES
from tests.contract.providers.loyalty_lt.documented import CALLBACK_URL, ID, PHONE, outcome
from tests.contract.providers.wire_server import WireServer, answer, body_of

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


def _expected(code: str, throttled: Throttled) -> Outcome:
    """What a code means, whichever status it comes with."""
    status, words, _ = CODES[code]
    match status:
        case 401 | 402 | 403:
            return AccountTrouble(code, words)
        case 429:
            return throttled
        case _ if code == "2001":
            return CampaignTrouble(code, words, "sender")
        case _:
            return Rejected(code, words)


@pytest.mark.parametrize(("code", "form"), [(code, form) for code in CODES for form in forms(code)])
async def test_every_code_has_its_outcome(
    make: Callable[..., LoyaltyLt], server: WireServer, code: str, form: object
) -> None:
    status, _, _ = CODES[code]
    server.script.append(answer(body_of({"success": False, "message": "…", "code": form}), status))
    assert await outcome(make()) == _expected(code, Throttled(None, "HTTP 429"))


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
    make: Callable[..., LoyaltyLt], server: WireServer, status: int, expected: Outcome, body: bytes
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
    make: Callable[..., LoyaltyLt], server: WireServer, status: int, code: object, expected: Outcome
) -> None:
    server.script.append(answer(body_of({"success": False, "code": code}), status))
    assert await outcome(make()) == expected


@pytest.mark.parametrize("data", [None, [], {}, "absent"])
@pytest.mark.parametrize("code", CODES)
async def test_a_code_in_http_200_is_as_clear_as_its_own_status(
    make: Callable[..., LoyaltyLt], server: WireServer, code: str, data: object
) -> None:
    """No money was a whole campaign in doubt, for good."""
    said = {"success": False, "message": "…", "code": code, **({} if data == "absent" else {"data": data})}
    server.script.append(answer(body_of(said), headers={"Retry-After": "7"}))
    _, words, _ = CODES[code]
    assert await outcome(make()) == _expected(code, Throttled(7.0, words))


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
    make: Callable[..., LoyaltyLt], server: WireServer, said: dict[str, object]
) -> None:
    server.script.append(answer(body_of(said)))
    assert isinstance(await outcome(make()), InDoubt)


@pytest.mark.parametrize(
    "code", [PHONE, PHONE[1:], 37061234567, "a text of ours", "x" * 300, True, 1.5, "1001 ", "", "é"]
)
async def test_what_cannot_be_a_code_is_none(
    make: Callable[..., LoyaltyLt], server: WireServer, code: object
) -> None:
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
    make: Callable[..., LoyaltyLt], server: WireServer, errors: object, reason: str
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
    make: Callable[..., LoyaltyLt],
    server: WireServer,
    errors: object,
    code: object,
    expected: Outcome,
    status: int,
) -> None:
    server.script.append(answer(body_of({"success": False, "code": code, "errors": errors}), status))
    assert type(found := await outcome(make())) is type(expected)
    assert status == 400 or found == expected


@pytest.mark.parametrize("errors", [{"receiptURL": ["must be https"]}, [{"field": "receiptURL"}]])
async def test_no_message_is_lost_over_our_own_callback_address(
    make: Callable[..., LoyaltyLt], server: WireServer, errors: object
) -> None:
    server.script.append(answer(body_of({"success": False, "code": 422, "errors": errors}), 422))
    assert await outcome(make(), callback_url=CALLBACK_URL) == AccountTrouble(
        "422", "the callback address is found invalid: receiptURL"
    )
