"""Loyalty.lt as its documents describe it: access, fields, errors, statuses, callbacks; and the adapter
against it, from a message handed over to its end.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    CampaignTrouble,
    InDoubt,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Rejected,
    Throttled,
)
from campaigns.domain.states import MessageState, merge
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.wire import Wire
from simulator.ledger import Ledger
from simulator.loyalty_lt import endpoints
from simulator.loyalty_lt.fates import FATES, steps_of, word_at
from simulator.options import Options
from tests.waiting import until

from .accounts import LOYALTY_LT_ACCESS as ACCESS
from .accounts import PLUS_PHONE as PHONE
from .accounts import LoyaltyLtAccount as Account
from .accounts import loyalty_lt_order as order
from .conftest import (
    DEADLINE_SECONDS,
    Hooks,
    Start,
    at_once,
    callback_counts,
)

MESSAGE_ID = re.compile("msg_[0-9a-f]{14}")
MOMENT = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


Open = Callable[..., Awaitable[Account]]


@pytest.fixture
def open_account(start: Start) -> Open:
    async def opened(**options: Any) -> Account:
        return Account(await start(provider="loyalty_lt", **{"delivery_seconds": 0, **options}))

    return opened


@pytest.fixture
async def account(open_account: Open) -> Account:
    """One whose messages come to their end at the first question."""
    return await open_account()


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The ledger's clock, moved by hand: 2025-01-15 10:30:00 UTC."""
    now = [datetime(2025, 1, 15, 10, 30, tzinfo=UTC).timestamp()]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: now[0])
    return now


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


# --- fates and the life of a message ----------------------------------------------------------------


async def test_the_table_of_fates_is_served_and_kept(account: Account) -> None:
    served = (await account.simulator.get("/_fates")).json()
    assert served["fates"].keys() == FATES.named.keys()
    for ending in (f"{number:02d}" for number in range(100)):
        fate = served["fates"].get(ending, served["any_other"])
        reply = await account.post(order(f"+370600000{ending}"))
        if fate["refusal"] is not None:
            assert reply.status == 422
            continue
        status = await account.ask(reply.json()["data"]["message_id"])
        if fate["final"] is None:
            assert status.status == 404
            continue
        assert status.json()["data"]["status"] == fate["final"]
        assert ("reference" in status.json()["data"]) is fate["short_form"]
    assert await account.simulator.accepted() == 95


async def test_each_refusal_says_what_it_is(account: Account) -> None:
    await account.simulator.fault("*", "int_codes")
    said = {
        ending: (await account.post(order(f"+370600000{ending}"))).json() for ending in ("94", "95", "96")
    }
    assert {ending: answer["code"] for ending, answer in said.items()} == {"94": 2002, "95": 422, "96": 2001}
    assert [error["field"] for error in said["95"]["errors"]] == ["destination"]
    await account.simulator.delete("/_faults")
    answer = (await account.post(order("+37060000093"))).json()
    assert answer["code"] == "VALIDATION_ERROR"
    assert answer["errors"].keys() == {"destination"}
    assert "code" not in (await account.post(order("+37060000099"))).json()


async def test_the_life_of_a_message(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10)
    endings = ["00", "88", "90", "91", "92", "97", "98"]
    ids = [await account.take(f"+370600000{ending}") for ending in endings]

    async def words() -> list[str | None]:
        return [await account.word(message_id) for message_id in ids]

    queued = ["queued"] * 6 + [None]
    halfway = ["sent"] * 4 + ["queued", "sent", None]
    ended = ["delivered", "failed", "failed", "expired", "queued", "sent", None]
    assert await words() == queued
    moment[0] += 4.9
    assert await words() == queued
    moment[0] += 0.2
    assert await words() == halfway
    moment[0] += 4.8
    assert await words() == halfway
    moment[0] += 0.2
    assert await words() == ended
    moment[0] += 1e6
    assert await words() == ended


async def test_a_status_is_answered_as_on_the_page(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10, price=Decimal("0.0556"))
    ids = [await account.take(f"+370600000{ending}") for ending in ("00", "90", "89")]
    moment[0] += 5
    halfway = (await account.ask(ids[1])).json()["data"]
    assert [halfway[name] for name in ("sent_at", "failed_at", "error_message")] == [
        "2025-01-15T10:30:05Z",
        None,
        None,
    ]
    moment[0] += 5
    replies = [await account.ask(message_id) for message_id in ids]
    assert {(reply.status, reply.content_type) for reply in replies} == {(200, "application/json")}
    assert replies[0].json() == {
        "success": True,
        "data": {
            "message_id": ids[0],
            "status": "delivered",
            "source": "Demo",
            "destination": "+37060000000",
            "sent_at": "2025-01-15T10:30:05Z",
            "delivered_at": "2025-01-15T10:30:10Z",
            "failed_at": None,
            "scheduled": None,
            "validity": "2025-01-16T10:30:00Z",
            "cost": {"amount": 0.0556, "currency": "EUR"},
            "error_message": None,
        },
    }
    failed = replies[1].json()
    assert failed["success"] is True
    assert (failed["data"]["delivered_at"], failed["data"]["failed_at"]) == (None, "2025-01-15T10:30:10Z")
    assert failed["data"]["error_message"] == "Rejected by the operator"
    assert replies[2].json()["data"] == {
        "message_id": ids[2],
        "status": "delivered",
        "reference": None,
        "sent_at": "2025-01-15T10:30:05Z",
    }


async def test_a_scheduled_message_begins_its_life_then(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10)
    later = await account.take(scheduled="2025-01-15T12:31:00+02:00")
    past = await account.take(scheduled="2020-01-15T10:30:00Z")
    assert [await account.word(each) for each in (later, past)] == ["queued", "queued"]
    assert (await account.ask(later)).json()["data"]["scheduled"] == "2025-01-15T10:31:00Z"
    moment[0] += 10
    assert [await account.word(each) for each in (later, past)] == ["queued", "delivered"]
    moment[0] += 60
    assert await account.word(later) == "delivered"


async def test_what_is_not_delivered_in_time_expires(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=120)
    ids = [
        await account.take(validityMinutes=1),
        await account.take(validityMinutes=3),
        await account.take("+37060000092", validity="2025-01-15T10:33:00Z"),
        await account.take("+37060000097", validityMinutes=3),
        await account.take(validity="2024-01-15T10:33:00Z"),
    ]

    async def words() -> list[str | None]:
        return [await account.word(message_id) for message_id in ids]

    assert await words() == ["queued", "queued", "queued", "queued", "expired"]
    assert (await account.ask(ids[1])).json()["data"]["validity"] == "2025-01-15T10:33:00Z"
    moment[0] += 60
    assert await words() == ["expired", "sent", "queued", "sent", "expired"]
    moment[0] += 120
    assert await words() == ["expired", "delivered", "expired", "expired", "expired"]


@given(
    st.integers(0, 99),
    st.integers(0, 40),
    st.none() | st.integers(0, 60),
    st.lists(st.integers(-5, 100), max_size=12),
)
def test_a_life_never_goes_back(ending: int, delivery: int, expires_in: int | None, ages: list[int]) -> None:
    fate = FATES.of(ending)
    steps = steps_of(fate, delivery, expires_in)
    order_of = ["queued", *(step.status for step in steps)]
    assert len(set(order_of)) == len(order_of) <= 3
    assert [step.age_seconds for step in steps] == sorted(step.age_seconds for step in steps)
    places = [order_of.index(word_at(steps, age)) for age in sorted(ages)]
    assert places == sorted(places)
    assert word_at(steps, -1) == "queued"
    if expires_in is not None and fate.status is not None:
        is_in_time = fate.callback is not None and delivery < expires_in
        assert word_at(steps, 1000) == (fate.status if is_in_time else "expired")
        assert all(step.age_seconds <= expires_in for step in steps)


async def test_ids_nobody_knows(account: Account) -> None:
    message_id = await account.take()
    other = f"msg_{int(message_id[4:10], 16) ^ 1:06x}{message_id[10:]}"
    for wrong in ("msg_0", f"{message_id}0", message_id[:-1], message_id[4:], other, f"{message_id[:-1]}9"):
        reply = await account.ask(wrong)
        assert (reply.status, reply.json()) == (404, {"success": False, "message": "Message not found"})
    assert await account.word(message_id) == "delivered"
    await account.simulator.delete("/_ledger")
    assert await account.word(message_id) is None
    later = await account.take("+37060000090")
    assert await account.word(later) == "failed"  # numbered on, and still its own
    assert await account.word(message_id) is None


async def test_questions_that_come_too_soon_are_counted(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(endpoints.time, "monotonic", lambda: now[0])
    first, second = await account.take(), await account.take()
    for message_id, pause in ((first, 1.0), (second, 4.0), (first, 4.5), (first, 5.0), (first, 0.0)):
        await account.ask(message_id)
        now[0] += pause
    requests = (await account.simulator.ledger())["requests"]
    assert requests == {"send": 2, "status": 5, "too_soon": 1}


# --- faults -----------------------------------------------------------------------------------------

EVERY_CODE = {
    "1001": 401,
    "1004": 401,
    "1002": 402,
    "403": 403,
    "404": 404,
    "1003": 429,
    "2001": 422,
    "2002": 422,
    "422": 422,
    "9999": 422,
}


@pytest.mark.parametrize("code", EVERY_CODE)
async def test_every_code_on_request(account: Account, code: str) -> None:
    message_id = await account.take()
    await account.simulator.fault("*", "code", code=code, times=2)
    replies = [await account.post(order()), await account.ask(message_id)]
    await account.simulator.fault("send", "phone_code", code=int(code), times=1)
    replies.append(await account.post(order()))
    assert {reply.status for reply in replies} == {EVERY_CODE[code]}
    assert {reply.json()["success"] for reply in replies} == {False}
    said = [reply.json().get("code") for reply in replies]
    assert said == ([None] * 3 if code in {"403", "404"} else [int(code), code, None])
    assert await account.simulator.accepted() == 1


async def test_what_colours_an_answer(account: Account) -> None:
    await account.simulator.fault("send", "omit", times=1)
    assert (await account.post(order())).json()["data"] == {}
    await account.simulator.fault("send", "extra_keys", times=1)
    assert (await account.post(order())).json()["data"]["network"] == "Simulated"
    message_id = await account.take()
    await account.simulator.fault("status", "missing_ids", times=1)
    assert await account.word(message_id) is None
    await account.simulator.fault("status", "unknown_word", word="teleported", times=1)
    assert await account.word(message_id) == "teleported"
    await account.simulator.fault("status", "object_form", times=1)
    assert (await account.ask(message_id)).json()["data"].keys() == {
        "message_id",
        "status",
        "reference",
        "sent_at",
    }
    await account.simulator.fault("status", "code18")
    await account.simulator.fault("*", "clock", offset_seconds=3600)
    assert await account.word(message_id) == "delivered"
    assert [fault["hits"] for fault in await account.simulator.faults()][-2:] == [0, 1]
    assert await account.simulator.accepted() == 3


# --- callbacks --------------------------------------------------------------------------------------


def words_told(hooks: Hooks) -> list[tuple[str, str]]:
    """By the last part of the address: the word."""
    return [(each.url.rpartition("/")[2], json.loads(each.body)["status"]) for each in hooks.taken]


def ask_for(hooks: Hooks, path: str = "x") -> dict[str, object]:
    return {"receipt": True, "receiptURL": hooks.url + path}


async def test_each_change_is_told_as_on_the_page(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.2)
    endings = ("00", "87", "88", "89", "90", "91", "92", "97", "98")
    ids = {each: await account.take(f"+370600000{each}", **ask_for(hooks, each)) for each in endings}
    assert await callback_counts(account.simulator) == {"made": 13, "sent": 13, "taken": 13}
    told: dict[str, list[str]] = {ending: [] for ending in endings}
    for ending, word in words_told(hooks):
        told[ending].append(word)
    assert told == {
        "00": ["SENT", "DELIVERED"],
        "87": ["SENT", "DELIVERED"],
        "88": ["SENT", "UNDELIVERABLE"],
        "89": ["SENT", "DELIVERED"],
        "90": ["SENT", "FAILED"],
        "91": ["SENT", "UNDELIVERABLE"],
        "92": [],
        "97": ["SENT"],
        "98": [],
    }
    assert {each.method for each in hooks.taken} == {"POST"}
    assert {each.headers["User-Agent"] for each in hooks.taken} == {"Loyalty-LT-SMPP-Gateway/1.0"}
    assert {each.headers["Content-Type"] for each in hooks.taken} == {"application/json"}

    documents: dict[str, list[dict[str, Any]]] = {ending: [] for ending in endings}
    for each in hooks.taken:
        documents[each.url.rpartition("/")[2]].append(json.loads(each.body))
    first, last = documents["90"]
    assert last.keys() == {"id", "externalId", "status", "recipient", "timestamp", "error"}
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", last["id"])
    assert first["id"] == last["id"] != documents["91"][0]["id"]
    assert (last["externalId"], last["recipient"]) == (None, "+37060000090")
    assert (first["error"], last["error"]) == (None, "Rejected by the operator")
    assert last["timestamp"].endswith("Z")
    assert datetime.fromisoformat(first["timestamp"]) < datetime.fromisoformat(last["timestamp"])
    assert [each["message_id"] for each in documents["87"]] == [ids["87"]] * 2
    assert documents["00"][1]["error"] is None


async def test_an_expiry_is_told(open_account: Open, hooks: Hooks) -> None:
    """Its validity was over before its life began: told once, at once, and nothing more."""
    began = datetime.now(UTC)
    account = await open_account(delivery_seconds=0.1)
    await account.take(validity="2024-01-15T10:33:00Z", **ask_for(hooks, "past"))
    await account.take(validityMinutes=1, **ask_for(hooks, "in-time"))
    assert (await callback_counts(account.simulator))["taken"] == 3
    moments = [datetime.fromisoformat(json.loads(each.body)["timestamp"]) for each in hooks.taken]
    assert all(abs((each - began).total_seconds()) < DEADLINE_SECONDS for each in moments)
    assert sorted(words_told(hooks)) == [
        ("in-time", "DELIVERED"),
        ("in-time", "SENT"),
        ("past", "UNDELIVERABLE"),
    ]


def test_the_pauses_are_those_of_the_page() -> None:
    assert endpoints.LoyaltyLt.retry_seconds == (30.0, 120.0, 600.0, 1800.0, 3600.0)


# --- the adapter against it -------------------------------------------------------------------------

FOUND_INVALID = Rejected("VALIDATION_ERROR", "found invalid: destination")
ENDS: dict[str, MessageState | None] = {
    "00": MessageState.DELIVERED,
    "87": MessageState.DELIVERED,
    "88": MessageState.FAILED,
    "89": MessageState.DELIVERED,
    "90": MessageState.FAILED,
    "91": MessageState.EXPIRED,
    "92": MessageState.ACCEPTED,
    "97": MessageState.SENT,
    "98": None,
}
CALLED_BACK = {
    **ENDS,
    "88": MessageState.UNDELIVERED,
    "91": MessageState.UNDELIVERED,
    "92": None,
}
REFUSED: dict[str, set[str]] = {
    "93": {"VALIDATION_ERROR", "422", "http_422"},
    "94": {"2002", "http_422"},
    "95": {"422", "http_422"},
    "96": {"2001", "http_422"},
    "99": {"http_422"},
}


def looks() -> Iterator[float]:
    """A clock on which each look is ten seconds later: the tests do not wait for five."""
    return count(0.0, 10.0)


@asynccontextmanager
async def adapter(account: Account, **more: Any) -> AsyncIterator[LoyaltyLt]:
    wire, clock = Wire(), looks()
    given = {
        "name": "main",
        "api_key": "your_api_key",
        "api_secret": "your_api_secret",
        "base_url": account.simulator.url,
        "timeout_seconds": 10.0,
        "monotonic": lambda: next(clock),
    }
    try:
        yield LoyaltyLt(wire=wire, **{**given, **more})
    finally:
        await wire.close()


async def hand_over(provider: LoyaltyLt, *messages: OutboundMessage) -> list[Outcome]:
    await provider.prepare()
    leave_by = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    requests = provider.requests(messages, "Demo")
    outcomes = await asyncio.gather(*(provider.hand_over(each, "Demo", leave_by) for each in requests))
    return [outcome for request in outcomes for outcome in request]


async def test_from_hand_over_to_every_end(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.3, price=Decimal("0.0556"))
    messages = [
        OutboundMessage(
            f"ref-{at}-{ending}", f"+3706000{at:02d}{ending}", "Labas, ačiū 😀", f"{hooks.url}{at}-{ending}"
        )
        for at in range(3)
        for ending in (*ENDS, *REFUSED)
    ]
    async with adapter(account, concurrency=5) as provider:
        ids: dict[str, OutboundMessage] = {}
        for message, outcome in zip(messages, await hand_over(provider, *messages), strict=True):
            if (codes_of := REFUSED.get(message.phone[-2:])) is not None:
                assert isinstance(outcome, Rejected | CampaignTrouble)  # the second: of the sender
                assert outcome.code in codes_of
            else:
                assert isinstance(outcome, Accepted)
                assert (outcome.cost, outcome.segment_count) == (Decimal("0.0556"), 1)
                ids[outcome.provider_message_id] = message
        assert len(ids) == 3 * len(ENDS)

        states: dict[str, MessageState | None] = dict.fromkeys(ids)

        async def all_ended() -> bool:
            answers = await provider.ask(list(ids), at_once)
            assert answers.trouble is None
            states.update({str(each.provider_message_id): each.evidence for each in answers.receipts})
            return all(state is ENDS[ids[each].phone[-2:]] for each, state in states.items())

        await until(all_ended)

        await callback_counts(account.simulator)
        told: dict[str, MessageState] = {}
        for callback in hooks.taken:
            (receipt,) = provider.read_callback(callback)
            assert receipt.evidence is not None
            assert receipt.is_coarse is (receipt.provider_state == "UNDELIVERABLE")
            # Who is meant, the address says; what they call an id is none of ours, but for one ending.
            path = callback.url.rpartition("/")[2]
            if path.endswith("87"):
                assert ids[str(receipt.provider_message_id)].callback_url == callback.url
            else:
                assert receipt.provider_message_id is None
            told[path] = merge(told.get(path, MessageState.ACCEPTED), receipt.evidence)
        assert told == {
            f"{at}-{ending}": state
            for at in range(3)
            for ending, state in CALLED_BACK.items()
            if state is not None
        }

        counted = [
            json.loads(line) for line in (await account.simulator.get("/_ledger?counts=1")).body.splitlines()
        ]
        assert {"+" + line["phone"]: line["count"] for line in counted} == {
            message.phone: 1 for message in ids.values()
        }


@pytest.mark.parametrize(
    "kind", ["cut_after", "cut_half", "hang_after", "status_after", "omit", "redirect_after", "nonsense"]
)
async def test_an_answer_not_seen_is_settled_by_a_callback_alone(
    open_account: Open, hooks: Hooks, kind: str
) -> None:
    account = await open_account()
    fields: dict[str, dict[str, object]] = {"hang_after": {"seconds": 60}, "status_after": {"code": 502}}
    async with adapter(account, timeout_seconds=0.5 if kind == "hang_after" else 10.0) as provider:
        await account.simulator.fault("send", kind, **fields.get(kind, {}))
        message = OutboundMessage("ref-1", PHONE, "Labas", hooks.url + "t0ken")
        (outcome,) = await hand_over(provider, message)
        assert isinstance(outcome, InDoubt)
        sightings = await provider.look_up([], at_once)
        assert sightings.trouble is not None
        assert provider.traits.settles_doubt_after_seconds is None
        assert (await callback_counts(account.simulator))["taken"] == 2
        evidence = [provider.read_callback(callback)[0].evidence for callback in hooks.taken]
        assert {callback.url for callback in hooks.taken} == {message.callback_url}
        assert set(evidence) == {MessageState.SENT, MessageState.DELIVERED}
        ledger = await account.simulator.ledger()
        assert (ledger["accepted"], ledger["requests"]["send"]) == (1, 1)


@pytest.mark.parametrize("kind", ["cut_before", "nonsense_before", "redirect", "status"])
async def test_what_was_never_taken_is_in_doubt_too(account: Account, hooks: Hooks, kind: str) -> None:
    async with adapter(account) as provider:
        await account.simulator.fault("send", kind, **({"code": 500} if kind == "status" else {}))
        (outcome,) = await hand_over(provider, OutboundMessage("ref-1", PHONE, "Labas", hooks.url))
        assert isinstance(outcome, InDoubt)
        ledger = await account.simulator.ledger()
        assert (ledger["accepted"], ledger["requests"]["send"]) == (0, 1)
        assert await callback_counts(account.simulator) == {}


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
