"""Loyalty.lt's sending as its documents describe it: access, fields, errors, the forms of a code."""

import json
import re
from decimal import Decimal

import pytest

from simulator.loyalty_lt import endpoints
from simulator.options import Options
from tests.contract.simulator.accounts import LOYALTY_LT_ACCESS as ACCESS
from tests.contract.simulator.accounts import PLUS_PHONE as PHONE
from tests.contract.simulator.accounts import LoyaltyLtAccount as Account
from tests.contract.simulator.accounts import loyalty_lt_order as order
from tests.contract.simulator.conftest import Open

MESSAGE_ID = re.compile("msg_[0-9a-f]{14}")
MOMENT = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


# --- send -------------------------------------------------------------------------------------------


async def test_a_send_is_answered_as_on_the_page(open_account: Open, moment: list[float]) -> None:
    account = await open_account(price=Decimal("0.0556"))
    reply = await account.post(order())
    assert (reply.status, reply.content_type) == (200, "application/json")
    answer = reply.json()
    message_id = answer["data"].pop("message_id")
    assert MESSAGE_ID.fullmatch(message_id)
    assert answer == {
        "success": True,
        "message": "SMS sent successfully",
        "data": {
            "source": "Demo",
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
    (line,) = (await account.simulator.get("/_ledger?full=1")).body.splitlines()
    assert (json.loads(line)["phone"], json.loads(line)["id"]) == (PHONE[1:], message_id)


async def test_the_answer_to_a_long_message_lacks_three_fields(open_account: Open) -> None:
    account = await open_account(price=Decimal("0.0556"))
    data = (await account.post(order(message="a" * 400))).json()["data"]
    assert data.keys() == {"message_id", "source", "destination", "status", "parts", "cost"}
    assert (data["parts"], data["cost"]) == (
        3,
        {"amount": 0.1668, "currency": "EUR", "parts_charged": 3},
    )
    assert (await account.post(order(message="ą" * 71))).json()["data"]["parts"] == 2


async def test_everything_documented_may_be_given(account: Account) -> None:
    data = (
        await account.post(
            order(
                "37061234567",
                source="YourSender",
                receipt=False,
                receiptURL="https://sms.example.com/x",
                scheduled="2025-01-15T10:30:00.000+02:00",
                validityMinutes=10080,
                marketing_consent=True,
                client_ip="192.168.1.100",
                client_user_agent="Mozilla/5.0",
                consent_page_url="https://example.com/subscribe",
            )
        )
    ).json()["data"]
    assert data["destination"] == PHONE
    assert data["marketing_consent_registered"] is True
    assert MOMENT.fullmatch(data["scheduled"])
    nothing = dict.fromkeys(("receipt", "receiptURL", "scheduled", "validity", "client_ip"))
    assert (await account.post(order(**nothing))).status == 200
    assert (await account.post(order(message="ą" * 1600))).status == 200


WRONG: dict[str, tuple[object, set[str]]] = {
    "nothing": ({}, {"source", "destination", "message"}),
    "no JSON": (b"{", {"source", "destination", "message"}),
    "no UTF-8": (b'{"source": "\xff"}', {"source", "destination", "message"}),
    "not a number": (b'{"source": NaN}', {"source", "destination", "message"}),
    "a list": ([order()], {"source", "destination", "message"}),
    "too deep": (b"[" * 100_000, {"source", "destination", "message"}),
    "no message": ({"source": "Demo", "destination": PHONE}, {"message"}),
    "null": (order(message=None), {"message"}),
    "an empty message": (order(message=""), {"message"}),
    "a number for a text": (order(message=17), {"message"}),
    "too long": (order(message="a" * 1601), {"message"}),
    "half a character": (order(message="\ud83d"), {"message"}),
    "a sender of 12": (order(source="abcdefghijkl"), {"source"}),
    "a sender with a dash": (order(source="Dem-o"), {"source"}),
    "a blank sender": (order(source=" "), {"source"}),
    "a destination of digits": (order(destination=37061234567), {"destination"}),
    "an unknown field": (order(reference="mine"), {"reference"}),
    "two wrong": (order(source="", text="Hello"), {"source", "text"}),
    "a receipt in words": (order(receipt="true", receiptURL="https://a.b/"), {"receipt"}),
    "a receipt to nowhere": (order(receipt=True), {"receiptURL"}),
    "a receipt to null": (order(receipt=True, receiptURL=None), {"receiptURL"}),
    "a path": (order(receipt=True, receiptURL="/callbacks"), {"receiptURL"}),
    "another scheme": (order(receiptURL="ftp://a.b/"), {"receiptURL"}),
    "no host": (order(receiptURL="https:///x"), {"receiptURL"}),
    "no port": (order(receiptURL="https://a.b:99999/"), {"receiptURL"}),
    "no IPv6": (order(receiptURL="https://[a.b/"), {"receiptURL"}),
    "a space": (order(receiptURL="https://a.b/ x"), {"receiptURL"}),
    "a day": (order(scheduled="2025-01-15"), {"scheduled"}),
    "no zone": (order(scheduled="2025-01-15T10:30:00"), {"scheduled"}),
    "no such day": (order(validity="2025-02-30T10:30:00Z"), {"validity"}),
    "the end of time": (order(scheduled="9999-12-31T23:59:59Z"), {"scheduled"}),
    "minutes as text": (order(validityMinutes="1440"), {"validityMinutes"}),
    "no minutes": (order(validityMinutes=0), {"validityMinutes"}),
    "true minutes": (order(validityMinutes=True), {"validityMinutes"}),
    "too many minutes": (order(validityMinutes=10081), {"validityMinutes"}),
    "both validities": (
        order(validity="2035-01-15T10:30:00Z", validityMinutes=5),
        {"validityMinutes"},
    ),
    "a consent in words": (order(marketing_consent="yes"), {"marketing_consent"}),
    "a field twice": (b'{"source":"Demo","source":"Demo"}', {"source"}),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_no_document_allows_is_refused_by_its_field(account: Account, name: str) -> None:
    document, fields = WRONG[name]
    reply = await account.post(document)
    assert reply.status == 422
    answer = reply.json()
    assert (answer["success"], answer["message"], answer["code"]) == (
        False,
        "Validation failed",
        "VALIDATION_ERROR",
    )
    assert answer["errors"].keys() == fields
    assert all(len(sentences) == 1 for sentences in answer["errors"].values())
    assert await account.simulator.accepted() == 0


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_is_json_by_its_name_too(account: Account, content_type: str) -> None:
    reply = await account.post(order(), {**ACCESS, "Content-Type": content_type})
    assert reply.status == 422
    assert reply.json()["errors"].keys() == {"source", "destination", "message"}


@pytest.mark.parametrize(
    "phone",
    [
        "",
        "061234567",
        "+061234567",
        "+3706123456789012",
        "370 612 34567",
        "+37061a34567",
        "++37061234567",
        "+3706123456٣",
        "٣٧",
    ],
)
async def test_a_number_is_written_in_e164(account: Account, phone: str) -> None:
    reply = await account.post(order(phone))
    if phone:
        assert (reply.status, reply.json()["code"]) == (422, 2002)
    else:
        assert reply.json()["errors"].keys() == {"destination"}
    assert await account.simulator.accepted() == 0


async def test_a_sender_is_approved(open_account: Open) -> None:
    account = await open_account(senders=("My Brand",))
    assert (await account.post(order(source="My Brand"))).status == 200
    reply = await account.post(order(source="BadSender"))
    assert reply.status == 422
    assert reply.json() == {
        "success": False,
        "message": "Source address 'BadSender' is not allowed. Allowed senders: Demo, YourSender, My Brand",
        "code": 2001,
    }


@pytest.mark.parametrize(
    ("access", "code", "sentence"),
    [
        ({}, 1004, "API key and secret are required."),
        ({"X-API-Key": "your_api_key"}, 1004, "API key and secret are required."),
        ({**ACCESS, "X-API-Secret": ""}, 1004, "API key and secret are required."),
        ({**ACCESS, "X-API-Key": "your_api_secret"}, 1001, "Invalid API credentials"),
        ({**ACCESS, "X-API-Secret": "your_api_key"}, 1001, "Invalid API credentials"),
        ({**ACCESS, "X-API-Secret": "ž"}, 1001, "Invalid API credentials"),
    ],
)
async def test_access_is_checked_before_anything_else(
    account: Account, access: dict[str, str], code: int, sentence: str
) -> None:
    expected = (401, {"success": False, "message": sentence, "code": code})
    reply = await account.post({"nobody": "knows"}, access)
    assert (reply.status, reply.json()) == expected
    reply = await account.ask("msg_0", access)
    assert reply.status == 401
    assert reply.json() == {**expected[1], "code": str(code)}  # the second refusal: the other way
    assert await account.simulator.accepted() == 0


async def test_money_ends(open_account: Open) -> None:
    account = await open_account(price=Decimal("0.0556"), balance=Decimal("0.25"))
    assert (await account.post(order(message="a" * 400))).status == 200
    assert (await account.post(order(message="a" * 161))).status == 402
    assert (await account.post(order())).status == 200
    await account.simulator.fault("send", "int_codes")
    reply = await account.post(order())
    assert (reply.status, reply.json()) == (
        402,
        {"success": False, "message": "Insufficient balance", "code": 1002},
    )
    assert await account.simulator.accepted() == 2


async def test_a_minute_has_so_many_messages(open_account: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(endpoints.time, "monotonic", lambda: now[0])
    account = await open_account(messages_per_minute=2)
    assert (await account.post(order("nowhere"))).status == 422  # what is refused does not count
    assert (await account.post(order())).status == 200
    now[0] += 30
    assert (await account.post(order())).status == 200
    reply = await account.post({})
    assert (reply.status, reply.json()["message"]) == (429, "Rate limit exceeded. Try again later.")
    now[0] += 30
    assert (await account.post(order())).status == 200
    assert (await account.post(order())).status == 429
    assert await account.simulator.accepted() == 3
    with pytest.raises(ValueError, match="messages_per_minute"):
        Options(messages_per_minute=0)


async def test_only_the_documented_methods_and_paths(account: Account) -> None:
    for method, path, status in (
        ("GET", "/en/sms/send", 405),
        ("PUT", "/en/sms/send", 405),
        ("POST", "/en/sms/status/msg_0", 405),
        ("POST", "/english/sms/send", 404),
        ("POST", "/EN/sms/send", 404),
        ("POST", "/sms/send", 404),
        ("GET", "/en/sms/status/", 404),
        ("GET", "/en/sms/status/a/b", 404),
        ("GET", "/en/sms/balance", 404),
    ):
        reply = await account.request(method, path, ACCESS)
        assert (reply.status, reply.content_type) == (status, "text/plain"), path


# --- the forms of a code ----------------------------------------------------------------------------


async def codes(account: Account, document: object, times: int) -> list[object]:
    """The code of each answer; `absent` where there is none."""
    return [(await account.post(document)).json().get("code", "absent") for _ in range(times)]


async def test_a_code_is_a_number_a_text_or_absent(account: Account) -> None:
    assert await codes(account, order(source="Other"), 4) == [2001, "2001", "absent", 2001]
    assert await codes(account, order(), 4) == [200, "200", "absent", 200]


async def test_a_word_is_a_number_on_the_newer_pages(account: Account) -> None:
    old, new, bare = [(await account.post(order(message=""))).json() for _ in range(3)]
    assert old["code"] == "VALIDATION_ERROR"
    assert old["errors"] == {"message": ["The message must be a string."]}
    assert new["code"] == 422
    assert new["message"] == "The given data was invalid."
    assert [error["field"] for error in new["errors"]] == ["message"]
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", new["request_id"])
    assert bare == {name: old[name] for name in ("success", "message", "errors")}


async def test_numbers_alone_on_request(account: Account) -> None:
    await account.simulator.fault("*", "int_codes")
    assert await codes(account, order(source="Other"), 3) == [2001] * 3
    assert await codes(account, {}, 2) == [422] * 2
    assert await codes(account, order(), 2) == [200] * 2
