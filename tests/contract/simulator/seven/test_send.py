"""seven.io's sending as its documents describe it: answers, refusals, money, the reload lock."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.simulator.accounts import SevenAccount as Account
from tests.contract.simulator.client import OTHER_PHONE, PHONE
from tests.contract.simulator.conftest import Open

# --- send -------------------------------------------------------------------------------------------


async def test_a_send_is_answered_as_documented(account: Account) -> None:
    reply = await account.send(f"{PHONE},+{OTHER_PHONE},0037063456789", foreign_id="a-1", label="spring")
    assert (reply.status, reply.content_type) == (200, "application/json")
    document = reply.json()
    assert {name: document[name] for name in ("success", "debug", "sms_type", "total_price", "balance")} == {
        "success": "100",
        "debug": "false",
        "sms_type": "direct",
        "total_price": 0.0432,
        "balance": 999999.9568,
    }
    first, second, third = document["messages"]
    assert first == {
        "id": first["id"],
        "sender": "Demo",
        "recipient": PHONE,
        "text": "Hello",
        "encoding": "gsm",
        "label": "spring",
        "parts": 1,
        "udh": None,
        "is_binary": False,
        "price": 0.0144,
        "success": True,
        "error": None,
        "error_text": None,
    }
    assert [second["recipient"], third["recipient"]] == [OTHER_PHONE, "37063456789"]
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert first["id"].isdigit()
    assert await account.simulator.accepted() == 3


async def test_parts_and_encoding(account: Account) -> None:
    (message,) = (await account.send(text="ą" * 135)).json()["messages"]
    assert (message["parts"], message["encoding"], message["price"]) == (3, "ucs2", 0.0432)
    (message,) = (await account.send(text="€" * 81)).json()["messages"]
    assert (message["parts"], message["encoding"]) == (2, "gsm")


async def test_json_is_taken_as_a_form_is(account: Account) -> None:
    body = json.dumps({"to": PHONE, "text": "ačiū", "from": "Demo", "flash": False, "ttl": 60}).encode()
    reply = await account.ask("POST", "sms", body, Content_Type="application/json")
    assert reply.json()["messages"][0]["text"] == "ačiū"


async def test_without_json_an_answer_is_text(account: Account) -> None:
    async def text(**fields: str) -> str:
        body = urlencode({"to": PHONE, "from": "Demo", **fields}).encode()
        reply = await account.ask(
            "POST", "sms", body, Accept="", Content_Type="application/x-www-form-urlencoded"
        )
        assert (reply.status, reply.content_type) == (200, "text/plain")
        return reply.body

    assert await text(text="1") == "100"
    code, message_id = (await text(text="2", return_msg_id="1")).split("\n")
    assert code == "100"
    assert (await account.status(message_id)).json()[0]["status"] == "DELIVERED"
    assert (await text(text="3", details="1")).startswith("100\nBooked: 1\nPrice: 0.0144\nBalance: ")
    assert await text(text="") == "305"
    assert await text(text="4", to="37060000093,37060000001") == "101"
    assert (await text(text="5", debug="1", return_msg_id="1")) == "100\n1234567890"
    reply = await account.ask(
        "POST",
        "sms",
        urlencode({"to": PHONE, "text": "6", "json": "1"}).encode(),
        Accept="",
        Content_Type="application/x-www-form-urlencoded",
    )
    assert reply.json()["success"] == "100"


async def test_a_trial_takes_nothing(account: Account) -> None:
    (message,) = (await account.send(debug="1")).json()["messages"]
    assert (message["id"], message["success"]) == (None, True)
    assert await account.simulator.accepted() == 0


# --- what is refused --------------------------------------------------------------------------------


async def test_errors_are_found_in_order(open_account: Open) -> None:
    """A request with everything wrong, mended one thing at a time."""
    account = await open_account(max_recipients=2, balance=Decimal("0.02"))
    wrong = {"to": "", "text": "", "from": "Far!Too-long", "label": "a b", "foreign_id": "x" * 65}
    wrong |= {"ttl": "long", "delay": "tomorrow", "colour": "red"}
    many = f"{PHONE},{OTHER_PHONE},37063456789"
    mended: list[tuple[str, dict[str, str]]] = [
        ("308", {"colour": ""}),
        ("301", {"to": f"{PHONE},,{OTHER_PHONE}"}),
        ("301", {"to": many}),
        ("305", {"text": "the casino calls " + "x" * 1520}),
        ("305", {"text": "x" * 1521}),
        ("401", {"text": "Hello"}),
        ("201", {"from": "Demo"}),
        ("802", {"label": "a.b-c_d@e"}),
        ("308", {"foreign_id": "a.b-c_d@e"}),
        ("308", {"ttl": "60"}),
        ("413", {"to": f"{PHONE},{OTHER_PHONE}"}),
        ("308", {"delay": "2024-05-30 14:06:00"}),
        ("500", {"to": PHONE}),
    ]
    for code, change in mended:
        reply = await account.form(**wrong)
        if code == "413":
            assert (reply.status, reply.content_type) == (413, "text/plain")
        else:
            assert (reply.status, reply.json()) == (200, code), change
        wrong = {name: value for name, value in {**wrong, **change}.items() if name not in change or value}
    assert (await account.form(**wrong)).json()["success"] == "100"


@pytest.mark.parametrize(
    ("recipient", "is_number"),
    [
        ("37061234567", True),
        ("+37061234567", True),
        ("0037061234567", True),
        (" 37061234567", True),
        ("1234567", True),
        ("123456789012345", True),
        ("061234567", False),
        ("123456", False),
        ("1234567890123456", False),
        ("friends", False),
        ("3706123456a", False),
        ("٣٧٠٦١٢٣٤٥٦٧", False),
    ],
)
async def test_the_form_of_a_number(account: Account, recipient: str, is_number: bool) -> None:
    answered = (await account.send(recipient)).json()
    assert answered == "202" if not is_number else answered["success"] == "100"


@pytest.mark.parametrize("sender", ["Demo", "Shop & Co.", "a-b_c", "3706", "1234567890123456", "+3706", ""])
async def test_senders(account: Account, sender: str) -> None:
    assert (await account.send(**{"from": sender})).json()["success"] == "100"
    for wrong in ("TwelveLetter", "12345678901234567", "Bad!Sender", "Žalia"):
        assert (await account.send(**{"from": wrong})).json() == "201"


async def test_what_nobody_documents_is_an_http_error(account: Account) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    good = urlencode({"to": PHONE, "text": "Hello"}).encode()
    as_json = {"Content-Type": "application/json"}
    for path, body, headers, status in (
        ("sms", good + b"&text=Again", form, 400),
        ("sms?text=Again", good, form, 400),
        ("sms", good.replace(b"Hello", b"%FF"), form, 400),
        ("sms", b"nonsense", form, 400),
        ("sms", b"\xff", form, 400),
        ("sms", b"{", as_json, 400),
        ("sms", b"[1]", as_json, 400),
        ("sms", b'{"to":"37061234567","text":"a","text":"b"}', as_json, 400),
        ("sms", b'{"to":["37061234567"],"text":"a"}', as_json, 400),
        ("sms", b'{"to":"37061234567","text":"half a pair \\ud83d"}', as_json, 400),
        ("sms", good, {"Content-Type": "text/plain"}, 415),
    ):
        reply = await account.ask("POST", path, body, **headers)
        assert (reply.status, reply.content_type) == (status, "text/plain"), body
        assert PHONE not in reply.body
    for method, path in (("GET", "sms"), ("PUT", "hooks"), ("HEAD", "status"), ("POST", "balance")):
        assert (await account.ask(method, path)).status == 405
    assert (await account.ask("GET", "contacts")).status == 404
    for path in ("status?msg_id=1&to=2", "balance?x=1", "journal/outbound?foreign_id=a"):
        assert (await account.ask("GET", path)).json() == "308"
    assert await account.simulator.accepted() == 0


async def test_a_partial_failure_says_so_number_by_number(account: Account) -> None:
    document = (await account.send(f"{PHONE},37060000093,friends,37060000094")).json()
    assert document["success"] == "101"
    assert [
        (entry["recipient"], entry["success"], entry["error"], entry["price"])
        for entry in document["messages"]
    ] == [
        (PHONE, True, None, 0.0144),
        ("37060000093", False, "403", 0),
        ("friends", False, "202", 0),
        ("37060000094", False, "202", 0),
    ]
    assert [entry["id"] is None for entry in document["messages"]] == [False, True, True, True]
    assert document["messages"][1]["error_text"]
    assert document["total_price"] == 0.0144
    assert await account.simulator.accepted() == 1
    assert (await account.send("37060000094,friends")).json() == "202"
    assert (await account.send("37060000093,friends")).json()["success"] == "101"
    assert (await account.send("37060000093")).json() == "403"
    assert await account.simulator.accepted() == 1


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        ("keyed", "application/json", '"403"'),
        ("top", "application/json", '{"code":403}'),
        ("top_string", "application/json", '{"error_code":"403"}'),
        ("empty_key", "application/json", '{"success":"403","messages":[]}'),
        ("bare", "text/plain", "403"),
    ],
)
async def test_the_form_of_an_error_can_be_chosen(
    open_account: Open, form: str, content_type: str, body: str
) -> None:
    reply = await (await open_account(error_form=form)).send("37060000093")
    assert (reply.content_type, reply.body) == (content_type, body)
    account = await open_account()
    await account.simulator.fault("*", "code", code=403, form=form)
    for path in ("status?msg_id=1", "balance", "journal/outbound"):
        assert (await account.ask("GET", path)).body == body


async def test_every_acceptance_takes_from_the_balance(open_account: Open) -> None:
    account = await open_account(balance=Decimal("0.0432"), currency="PLN")

    async def left() -> Any:
        return (await account.ask("GET", "balance")).json()

    assert await left() == {"amount": 0.0432, "currency": "PLN"}
    assert (await account.send(f"{PHONE},{OTHER_PHONE},37063456789,37064567890")).json() == "500"
    assert (await account.send(f"{PHONE},37060000093")).json()["balance"] == 0.0288
    assert (await account.send(OTHER_PHONE)).json()["success"] == "100"
    assert await left() == {"amount": 0.0144, "currency": "PLN"}
    assert (await account.send(f"{OTHER_PHONE},{PHONE}", text="2")).json() == "500"
    assert (await account.send(text="2")).json()["balance"] == 0  # the last cent
    assert (await account.send(text="3")).json() == "500"
    account = await open_account(balance=Decimal("0.0144"))
    reply = await account.ask("GET", "balance", Accept="")
    assert (reply.content_type, reply.body) == ("text/plain", "0.0144")
    assert (await account.ask("GET", "balance", **{"X-Api-Key": "x", "Accept": ""})).body == "900"


# --- the reload lock --------------------------------------------------------------------------------


async def test_a_text_goes_to_a_number_once_in_three_minutes(open_account: Open, moment: list[float]) -> None:
    account = await open_account()
    moment[0] = 1_700_000_000.0
    assert (await account.send()).json()["success"] == "100"
    moment[0] += 179
    assert (await account.send()).json() == "402"
    assert (await account.send(f"+{PHONE}")).json() == "402"
    mixed = (await account.send(f"{PHONE},{OTHER_PHONE}")).json()
    assert mixed["success"] == "101"
    assert [entry["error"] for entry in mixed["messages"]] == ["402", None]
    assert (await account.send(text="Another")).json()["success"] == "100"
    assert (await account.send(no_reload="1")).json()["success"] == "100"  # and the lock counts anew
    moment[0] += 2
    assert (await account.send()).json() == "402"
    moment[0] += 178.5
    assert (await account.send()).json()["success"] == "100"
    assert await account.simulator.accepted() == 5


async def test_a_number_named_twice_in_a_request_meets_the_lock(open_account: Open) -> None:
    account = await open_account()
    document = (await account.send(f"{PHONE},{PHONE}")).json()
    assert [entry["error"] for entry in document["messages"]] == [None, "402"]
    account = await open_account(reload_lock_seconds=0)
    assert (await account.send(f"{PHONE},{PHONE}")).json()["success"] == "100"
    assert (await account.send()).json()["success"] == "100"
    assert (await account.simulator.ledger())["most_per_phone"] == 3


async def test_a_cleared_ledger_has_no_locks_and_no_journal(account: Account) -> None:
    (message_id,) = await account.accept(PHONE)
    assert await account.simulator.delete("/_ledger") == 200
    assert (await account.status(message_id)).json() == "901"
    assert await account.journal() == []
    assert (await account.send()).json()["success"] == "100"
