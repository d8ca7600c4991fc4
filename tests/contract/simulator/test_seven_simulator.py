"""seven.io as its documents describe it, spoken to by requests written by hand."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import pytest

from campaigns.domain.message_ref import message_ref
from campaigns.domain.provider import (
    Accepted,
    Callback,
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
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.wire import Wire
from simulator.callbacks import Call, Callbacks
from simulator.ledger import Ledger
from simulator.options import Options
from simulator.seven import endpoints
from simulator.seven.fates import FATES
from tests.waiting import until

from .accounts import KEY
from .accounts import SevenAccount as Account
from .conftest import PHONE, Called, Customer, Start, at_once, callback_counts

SIGNING_KEY = "test_signing_secret"
OTHER = "37062345678"


StartAccount = Callable[..., Awaitable[Account]]


@pytest.fixture
async def begin(start: Start) -> StartAccount:
    async def begun(**options: Any) -> Account:
        return Account(await start(provider="seven", **options))

    return begun


@pytest.fixture
async def account(begin: StartAccount) -> Account:
    """One whose messages come to their end at the first question."""
    return await begin(delivery_seconds=0)


def sign(timestamp: str, nonce: str, method: str, url: str, body: bytes, key: str = SIGNING_KEY) -> str:
    """Made here and not by the simulator's code."""
    lines = f"{timestamp}\n{nonce}\n{method}\n{url}\n{hashlib.md5(body).hexdigest()}"  # noqa: S324  the provider's own scheme
    return hmac.new(key.encode(), lines.encode(), hashlib.sha256).hexdigest()


# --- send -------------------------------------------------------------------------------------------


async def test_a_send_is_answered_as_documented(account: Account) -> None:
    reply = await account.send(f"{PHONE},+{OTHER},0037063456789", foreign_id="a-1", label="spring")
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
    assert [second["recipient"], third["recipient"]] == [OTHER, "37063456789"]
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
    reply = await account.request("POST", "sms", body, Content_Type="application/json")
    assert reply.json()["messages"][0]["text"] == "ačiū"


async def test_without_json_an_answer_is_text(account: Account) -> None:
    async def text(**fields: str) -> str:
        body = urlencode({"to": PHONE, "from": "Demo", **fields}).encode()
        reply = await account.request(
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
    reply = await account.request(
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


# --- access -----------------------------------------------------------------------------------------

ENDPOINTS = [
    ("POST", "sms"),
    ("GET", "status"),
    ("POST", "status"),
    ("GET", "balance"),
    ("GET", "journal/outbound"),
    ("GET", "journal"),
    ("GET", "hooks"),
    ("POST", "hooks"),
    ("DELETE", "hooks"),
    ("DELETE", "sms"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_every_endpoint_wants_the_key(account: Account, method: str, path: str) -> None:
    for headers, code in (
        ({"X-Api-Key": ""}, "300"),
        ({"X-Api-Key": "wrong"}, "900"),
        ({"X-Api-Key": KEY.upper()}, "900"),
        ({"X-Api-Key": "", "Authorization": "Basic wrong"}, "900"),
        ({"X-Api-Key": "", "Authorization": f"Digest {KEY}"}, "900"),
        ({"Authorization": "Basic wrong"}, "900"),
    ):
        reply = await account.request(method, path, **headers)
        assert (reply.status, reply.json()) == (200, code), headers
    for scheme in ("Basic", "basic", "Bearer"):
        good = await account.request(method, path, **{"X-Api-Key": "", "Authorization": f"{scheme} {KEY}"})
        assert good.json() not in ("300", "900")
    assert (await account.request(method, f"{path}?p=wrong", **{"X-Api-Key": ""})).json() == "900"
    good = await account.request(method, f"{path}?p={KEY}", **{"X-Api-Key": ""})
    assert good.json() not in ("300", "308", "900")


async def test_a_request_may_be_signed_and_then_must_be_right(begin: StartAccount) -> None:
    account = await begin(signing_key=SIGNING_KEY)
    body = urlencode({"to": PHONE, "text": "Hello"}).encode()
    url = f"{account.url}/api/sms"
    now = str(int(time.time()))

    async def said(timestamp: str = now, nonce: str = "n" * 32, **more: str) -> object:
        made = sign(timestamp, nonce, "POST", more.pop("url", url), body, more.pop("key", SIGNING_KEY))
        headers = {"X-Timestamp": timestamp, "X-Nonce": nonce, "X-Signature": made, **more}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return (await account.request("POST", "sms", body, **form, **headers)).json()

    assert isinstance(await said(), dict)
    for wrong in (
        await said(str(int(now) - 40)),
        await said(str(int(now) + 40)),
        await said(nonce="n" * 33),
        await said(url=url + "?"),
        await said(**{"X-Signature": "0" * 64}),
        await said(**{"X-Signature": ""}),
        await said(**{"X-Timestamp": ""}),
    ):
        assert wrong == "901"
    await account.simulator.fault("*", "clock", offset_seconds=40)
    assert await said() == "901"
    await account.simulator.delete("/_faults")
    account = await begin()
    url = f"{account.url}/api/sms"
    assert await said() == await said(key="") == "901"  # this one has no signing key


async def test_what_is_signed_is_the_whole_address(begin: StartAccount) -> None:
    account = await begin(signing_key=SIGNING_KEY)
    now = str(int(time.time()))
    made = sign(now, "n", "GET", f"{account.url}/api/journal/outbound?to=%2B370&limit=5", b"")
    headers = {"X-Timestamp": now, "X-Nonce": "n", "X-Signature": made}
    simulator = account.simulator
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"X-Api-Key": KEY, **headers}.items())
    line = await simulator.connect()
    try:
        host = urlsplit(simulator.url).netloc
        line.writer.write(
            f"GET /api/journal/outbound?to=%2B370&limit=5 HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
        )
        _, body = await line.answer()
    finally:
        await line.close()
    assert body == b"[]"


# --- what is refused --------------------------------------------------------------------------------


async def test_errors_are_found_in_order(begin: StartAccount) -> None:
    """A request with everything wrong, mended one thing at a time."""
    account = await begin(max_recipients=2, balance=Decimal("0.02"))
    wrong = {"to": "", "text": "", "from": "Far!Too-long", "label": "a b", "foreign_id": "x" * 65}
    wrong |= {"ttl": "long", "delay": "tomorrow", "colour": "red"}
    many = f"{PHONE},{OTHER},37063456789"
    mended: list[tuple[str, dict[str, str]]] = [
        ("308", {"colour": ""}),
        ("301", {"to": f"{PHONE},,{OTHER}"}),
        ("301", {"to": many}),
        ("305", {"text": "the casino calls " + "x" * 1520}),
        ("305", {"text": "x" * 1521}),
        ("401", {"text": "Hello"}),
        ("201", {"from": "Demo"}),
        ("802", {"label": "a.b-c_d@e"}),
        ("308", {"foreign_id": "a.b-c_d@e"}),
        ("308", {"ttl": "60"}),
        ("413", {"to": f"{PHONE},{OTHER}"}),
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
        reply = await account.request("POST", path, body, **headers)
        assert (reply.status, reply.content_type) == (status, "text/plain"), body
        assert PHONE not in reply.body
    for method, path in (("GET", "sms"), ("PUT", "hooks"), ("HEAD", "status"), ("POST", "balance")):
        assert (await account.request(method, path)).status == 405
    assert (await account.request("GET", "contacts")).status == 404
    for path in ("status?msg_id=1&to=2", "balance?x=1", "journal/outbound?foreign_id=a"):
        assert (await account.request("GET", path)).json() == "308"
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
    begin: StartAccount, form: str, content_type: str, body: str
) -> None:
    reply = await (await begin(error_form=form)).send("37060000093")
    assert (reply.content_type, reply.body) == (content_type, body)
    account = await begin()
    await account.simulator.fault("*", "code", code=403, form=form)
    for path in ("status?msg_id=1", "balance", "journal/outbound"):
        assert (await account.request("GET", path)).body == body


async def test_every_acceptance_takes_from_the_balance(begin: StartAccount) -> None:
    account = await begin(balance=Decimal("0.0432"), currency="PLN")

    async def left() -> Any:
        return (await account.request("GET", "balance")).json()

    assert await left() == {"amount": 0.0432, "currency": "PLN"}
    assert (await account.send(f"{PHONE},{OTHER},37063456789,37064567890")).json() == "500"
    assert (await account.send(f"{PHONE},37060000093")).json()["balance"] == 0.0288
    assert (await account.send(OTHER)).json()["success"] == "100"
    assert await left() == {"amount": 0.0144, "currency": "PLN"}
    assert (await account.send(f"{OTHER},{PHONE}", text="2")).json() == "500"
    assert (await account.send(text="2")).json()["balance"] == 0  # the last cent
    assert (await account.send(text="3")).json() == "500"
    account = await begin(balance=Decimal("0.0144"))
    reply = await account.request("GET", "balance", Accept="")
    assert (reply.content_type, reply.body) == ("text/plain", "0.0144")
    assert (await account.request("GET", "balance", **{"X-Api-Key": "x", "Accept": ""})).body == "900"


# --- the reload lock --------------------------------------------------------------------------------


async def test_a_text_goes_to_a_number_once_in_three_minutes(
    begin: StartAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await begin()
    moment = [1_700_000_000.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    assert (await account.send()).json()["success"] == "100"
    moment[0] += 179
    assert (await account.send()).json() == "402"
    assert (await account.send(f"+{PHONE}")).json() == "402"
    mixed = (await account.send(f"{PHONE},{OTHER}")).json()
    assert mixed["success"] == "101"
    assert [entry["error"] for entry in mixed["messages"]] == ["402", None]
    assert (await account.send(text="Another")).json()["success"] == "100"
    assert (await account.send(no_reload="1")).json()["success"] == "100"  # and the lock counts anew
    moment[0] += 2
    assert (await account.send()).json() == "402"
    moment[0] += 178.5
    assert (await account.send()).json()["success"] == "100"
    assert await account.simulator.accepted() == 5


async def test_a_number_named_twice_in_a_request_meets_the_lock(begin: StartAccount) -> None:
    account = await begin()
    document = (await account.send(f"{PHONE},{PHONE}")).json()
    assert [entry["error"] for entry in document["messages"]] == [None, "402"]
    account = await begin(reload_lock_seconds=0)
    assert (await account.send(f"{PHONE},{PHONE}")).json()["success"] == "100"
    assert (await account.send()).json()["success"] == "100"
    assert (await account.simulator.ledger())["most_per_phone"] == 3


async def test_a_cleared_ledger_has_no_locks_and_no_journal(account: Account) -> None:
    (message_id,) = await account.accept(PHONE)
    assert await account.simulator.delete("/_ledger") == 200
    assert (await account.status(message_id)).json() == "901"
    assert await account.journal() == []
    assert (await account.send()).json()["success"] == "100"


# --- status -----------------------------------------------------------------------------------------


async def test_a_status_comes_in_its_documented_forms(account: Account) -> None:
    ids = await account.accept("37060000001", "37060000090", "37060000098")
    answered = (await account.status(*ids)).json()
    assert [(entry["id"], entry["status"]) for entry in answered] == [
        (ids[0], "DELIVERED"),
        (ids[1], "NOTDELIVERED"),
        (ids[2], None),
    ]
    assert time.strptime(answered[0]["status_time"], "%Y-%m-%d %H:%M:%S.%f")
    assert answered[2]["status_time"] is None
    assert [entry["status"] for entry in (await account.status(ids[0])).json()] == ["DELIVERED"]
    posted = await account.request(
        "POST", "status", f"msg_id={ids[0]}".encode(), Content_Type="application/x-www-form-urlencoded"
    )
    assert posted.json()[0]["id"] == ids[0]

    text = await account.status(ids[0], Accept="")
    word, moment = text.body.split("\n")
    assert (text.content_type, word) == ("text/plain", "DELIVERED")
    assert time.strptime(moment, "%Y-%m-%d %H:%M:%S.%f")
    assert (await account.status(ids[2], Accept="")).body == ""
    assert len((await account.status(*ids, Accept="")).json()) == 3  # several are always an array


async def test_an_id_nobody_knows_makes_it_901(account: Account) -> None:
    (message_id,) = await account.accept(PHONE)
    other = str(int(message_id[:6]) + 1)
    for wrong in (f"{message_id[:-1]}9", f"{other}{message_id[6:]}", "", "x"):
        for asked in ((wrong,), (message_id, wrong)):
            assert (await account.status(*asked)).json() == "901"
            assert (await account.status(*asked, Accept="")).body == "901"


async def test_the_table_is_served_and_kept(account: Account) -> None:
    served = (await account.simulator.get("/_fates")).json()
    phones = {f"{ending:02d}": f"370600000{ending:02d}" for ending in range(100)}
    document = (await account.send(",".join(phones.values()))).json()
    entries = dict(zip(phones, document["messages"], strict=True))
    ids = {ending: entry["id"] for ending, entry in entries.items() if entry["success"]}
    words = {each["id"]: each["status"] for each in (await account.status(*ids.values())).json()}
    for ending in phones:
        fate = served["fates"].get(ending, served["any_other"])
        assert entries[ending]["error"] == fate["send_code"]
        if ending in ids:
            assert words[ids[ending]] == fate["final"]
            alone = await account.status(ids[ending])
            assert (alone.content_type == "text/plain") is fate["text_form"]


async def test_the_life_of_a_message(begin: StartAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await begin(delivery_seconds=100)
    moment = [1_700_000_000.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    endings = ["00", "85", "86", "87", "88", "90", "91", "92", "97", "98", "99"]
    ids = await account.accept(*(f"370600000{ending}" for ending in endings))

    async def words() -> list[str | None]:
        return [entry["status"] for entry in (await account.status(*ids)).json()]

    short = {None: "-", "ACCEPTED": "a", "TRANSMITTED": "t", "BUFFERED": "b", "UNKNOWN": "u"}

    async def shorts() -> str:
        return "".join(short.get(word, "!") for word in await words())

    lives = {24.9: "-----------", 25.1: "aaaaaaaaa--", 50.1: "ttattttat--"}
    lives |= {75.1: "tuabutbat--", 100.1: "!u!!!!!at-!", 1e6: "!u!!!!!at-!"}
    began = moment[0]
    for age, expected in lives.items():
        moment[0] = began + age
        assert await shorts() == expected, age
    final = [word for word in await words() if word not in short]
    assert final == ["DELIVERED", "REJECTED", "DELIVERED", "DELIVERED", "NOTDELIVERED", "EXPIRED", "FAILED"]


async def test_a_delayed_message_begins_its_life_then(
    begin: StartAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await begin(delivery_seconds=0)
    moment = [1_700_000_000.0]  # 2023-11-14 22:13:20 UTC, an hour later in Berlin
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    ids = []
    for number, delay in enumerate(("2023-11-14 23:14:00", str(1_700_000_040), "2020-01-01 00:00:00")):
        ids += await account.accept(PHONE, text=f"Hello {number}", delay=delay)

    async def words() -> list[str | None]:
        return [entry["status"] for entry in (await account.status(*ids)).json()]

    assert await words() == [None, None, "DELIVERED"]
    assert (await account.status(ids[2])).json()[0]["status_time"] == "2023-11-14 23:13:20.000000"
    moment[0] += 41
    assert await words() == ["DELIVERED"] * 3


# --- journal ----------------------------------------------------------------------------------------


async def test_a_row_of_the_journal_is_as_documented(account: Account) -> None:
    (message_id,) = await account.accept(PHONE, foreign_id="abc-1", label="spring")
    (row,) = await account.journal()
    for name in ("timestamp", "dlr_timestamp"):
        assert time.strptime(row.pop(name), "%Y-%m-%d %H:%M:%S.%f")
    assert row == {
        "id": message_id,
        "to": PHONE,
        "from": "Demo",
        "text": "Hello",
        "price": "0.0144",
        "dlr": "DELIVERED",
        "mccmnc": "24601",
        "latency": "0.0000",
        "type": "direct",
        "channel": "SMS",
        "connection": "http",
        "label": "spring",
        "foreign_id": "abc-1",
    }
    await account.accept("37060000098")
    newest = (await account.journal(limit="1"))[0]
    assert [newest[name] for name in ("dlr", "dlr_timestamp", "latency", "label", "foreign_id")] == [None] * 5


async def test_the_journal_is_paged_newest_first(account: Account) -> None:
    phones = [str(37_060_000_000 + at * 100) for at in range(130)]
    ids = await account.accept(*phones[:100]) + await account.accept(*phones[100:])
    newest = ids[::-1]

    async def asked(**fields: str) -> list[str]:
        return [row["id"] for row in await account.journal(**fields)]

    assert await asked() == newest[:100]
    assert await asked(limit="100", offset="100") == newest[100:]
    assert await asked(limit="7", offset="28") == newest[28:35]
    assert await asked(offset="130") == []
    assert await asked(id=ids[17]) == [ids[17]]
    for number in (phones[3], f"+{phones[3]}", f"00{phones[3]}"):
        assert await asked(to=number) == [ids[3]]
    assert await asked(to="friends") == []
    assert await asked(state="EXPIRED") == []
    assert len(await asked(state="DELIVERED", limit="5")) == 5
    for wrong in (
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"offset": "-1"},
        {"date_from": "20240213"},
        {"date_from": "2024-02-30"},
        {"date_to": "today"},
        {"colour": "red"},
    ):
        assert await account.journal(**wrong) == "308", wrong


async def test_the_journal_is_cut_by_days_of_berlin(
    begin: StartAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await begin()
    moment = [1_700_002_799.0]  # 2023-11-14 23:59:59 in Berlin
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    (first,) = await account.accept(PHONE)
    moment[0] += 2
    (second,) = await account.accept(OTHER)

    async def asked(**fields: str) -> list[str]:
        return [row["id"] for row in await account.journal(**fields)]

    assert await asked(date_from="2023-11-14", date_to="2023-11-14") == [first]
    assert await asked(date_from="2023-11-15") == [second]
    assert await asked(date_to="2023-11-15") == [second, first]
    assert await asked(date_from="2023-11-10", date_to="2023-11-13") == []
    moment[0] += 30 * 86_400
    assert await asked() == [second]
    moment[0] += 86_400
    assert await asked() == []
    assert await asked(date_from="2023-01-01") == [second, first]


# --- faults -----------------------------------------------------------------------------------------


async def test_faults_in_the_words_of_seven(account: Account) -> None:
    simulator = account.simulator
    phones = ["37060000001", "37060000002", "37060000003"]
    await simulator.fault("send", "phone_code", code=600, count=1, times=1)
    document = (await account.send(",".join(phones))).json()
    assert [entry["error"] for entry in document["messages"]] == ["600", None, None]
    await simulator.fault("send", "omit", count=2, times=1)
    await simulator.fault("send", "extra_keys", times=1)
    (only,) = (await account.send(",".join(phones), text="2")).json()["messages"]
    assert (only["recipient"], only["network"]) == (phones[0], "Simulated")
    assert await simulator.accepted() == 5
    await simulator.fault("send", "int_codes", times=1)
    document = (await account.send(",".join(phones), text="3")).json()
    assert document["success"] == 100
    ids = [str(entry["id"]) for entry in document["messages"]]
    assert isinstance(document["messages"][0]["id"], int)

    await simulator.fault("status", "code18", times=1)
    assert (await account.status(*ids[:1])).json()[0]["status"] == "DELIVERED"
    assert (await account.status(*ids)).json() == "901"
    await simulator.fault("status", "code18", poison=ids[1], times=2)
    assert (await account.status(ids[0], ids[2])).json()[0]["status"] == "DELIVERED"
    assert (await account.status(ids[1])).json() == "901"
    await simulator.delete("/_faults")
    await simulator.fault("status", "unknown_word", word="TELEPORTED", times=1)
    assert {entry["status"] for entry in (await account.status(*ids)).json()} == {"TELEPORTED"}
    await simulator.fault("status", "missing_ids", count=2, times=1)
    assert [entry["id"] for entry in (await account.status(*ids)).json()] == ids[2:]
    await simulator.fault("status", "object_form", times=1)
    assert (await account.status(ids[0])).json()["status"] == "DELIVERED"
    await simulator.fault("status", "int_codes", times=2)
    entry = (await account.status(ids[0])).json()[0]
    assert (entry["id"], entry["status_time"].isdigit()) == (int(ids[0]), True)
    _, moment = (await account.status(ids[0], Accept="")).body.split("\n")
    assert abs(int(moment) - time.time()) < 10


async def test_the_ledger_tells_all(account: Account) -> None:
    await account.accept(PHONE, OTHER)
    await account.status("1")
    await account.journal()
    await account.request("GET", "balance")
    ledger = await account.simulator.ledger()
    assert ledger["requests"] == {"send": 1, "status": 1, "journal": 1, "balance": 1}
    counts = (await account.simulator.get("/_ledger?counts=1")).body.splitlines()
    assert {json.loads(line)["phone"] for line in counts} == {PHONE, OTHER}
    assert len((await account.simulator.get("/_ledger?full=1")).body.splitlines()) == 2


# --- callbacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "JSON"])
@pytest.mark.parametrize("query", ["", "?tenant=7&x=%2F"])
async def test_every_word_is_told_and_signed(
    begin: StartAccount, customer: Customer, method: str, query: str
) -> None:
    account = await begin(
        delivery_seconds=0.2,
        callback_url=customer.url + query,
        callback_method=method,
        signing_key=SIGNING_KEY,
    )
    ids = await account.accept("37060000001", "37060000092", "37060000098", "37060000093")
    await customer.came(4)
    assert (await callback_counts(account.simulator))["taken"] == 4
    told = []
    assert len({call.headers["x-nonce"] for call in customer.calls}) == 4
    for call in customer.calls:
        headers = call.headers
        timestamp, nonce = headers["x-timestamp"], headers["x-nonce"]
        assert abs(int(timestamp) - time.time()) < 20
        assert 1 <= len(nonce) <= 32
        assert headers["x-signature"] == sign(timestamp, nonce, call.method, call.url, call.body)
        assert call.url.startswith(customer.url + query)
        match method:
            case "GET":
                assert (call.method, call.body) == ("GET", b"")
                data, wanted = call.fields, "%Y-%m-%d %H:%M:%S.%f"
            case "POST":
                fields = call.fields
                assert (call.method, fields["webhook_event"]) == ("POST", "dlr")
                data = {name: fields[f"data[{name}]"] for name in ("msg_id", "status", "timestamp")}
                wanted = "%Y-%m-%d %H:%M:%S.%f"
            case _:
                event = json.loads(call.body)
                assert event.keys() == {"data", "webhook_event", "webhook_timestamp"}
                assert event["data"].keys() == {"msg_id", "status", "timestamp"}
                data, wanted = event["data"], "%Y-%m-%d %H:%M:%S.%f"
        assert time.strptime(data["timestamp"], wanted)
        told.append((data["msg_id"], data["status"]))
    assert [word for message_id, word in told if message_id == ids[0]] == [
        "ACCEPTED",
        "TRANSMITTED",
        "DELIVERED",
    ]
    assert [word for message_id, word in told if message_id == ids[1]] == ["ACCEPTED"]
    assert len(told) == 4


async def test_each_word_is_told_in_its_time(
    begin: StartAccount, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    after = Callbacks.after

    def noted(callbacks: Callbacks, seconds: float, make: Callable[[], Call | None]) -> None:
        waits.append(seconds)
        after(callbacks, seconds, make)

    monkeypatch.setattr(Callbacks, "after", noted)
    account = await begin(delivery_seconds=0.2, callback_url=customer.url)
    await account.accept("37060000087")
    await customer.came(4)
    assert waits == pytest.approx([0.05] * 4)
    assert [call.fields["status"] for call in customer.calls] == list(FATES.named["87"].words)


async def test_nobody_is_called_who_did_not_ask(begin: StartAccount) -> None:
    account = await begin(delivery_seconds=0)
    await account.accept(PHONE)
    assert (await account.simulator.get("/_callbacks")).json() == {"waiting": 0}


async def test_an_unsigned_account_signs_nothing(begin: StartAccount, customer: Customer) -> None:
    account = await begin(delivery_seconds=0, callback_url=customer.url)
    await account.accept(PHONE)
    await customer.came(1)
    assert not {"x-signature", "x-nonce", "x-timestamp"} & customer.calls[0].headers.keys()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_callback_is_tried_again_as_it_was(
    begin: StartAccount, customer: Customer, status: int
) -> None:
    customer.statuses = [status, status, 302]
    account = await begin(
        delivery_seconds=0,
        callback_url=customer.url,
        callback_retry_seconds=(0.01, 0.02, 0.03),
        signing_key=SIGNING_KEY,
    )
    await account.accept(PHONE)
    await customer.came(3)
    counts = await callback_counts(account.simulator)
    assert (counts["made"], counts["sent"], counts["taken"]) == (1, 3, 1)
    first, second, third = customer.calls
    for name in ("x-signature", "x-timestamp", "x-nonce"):
        assert first.headers[name] == second.headers[name] == third.headers[name]
    assert first.url == second.url == third.url


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_other_errors_are_final(begin: StartAccount, customer: Customer, status: int) -> None:
    customer.statuses = [status]
    account = await begin(delivery_seconds=0, callback_url=customer.url, callback_retry_seconds=(0.01, 0.01))
    await account.accept(PHONE)
    await customer.came(1)
    counts = await callback_counts(account.simulator)
    assert (counts["sent"], counts["dropped"]) == (1, 1)


def test_fourteen_attempts_over_three_days_and_a_half() -> None:
    pauses = endpoints.Seven.retry_seconds
    assert pauses[:5] == (60, 300, 1800, 3600, 7200)
    assert len(pauses) == 13
    assert 3.3 < sum(pauses) / 86_400 < 3.7


@pytest.mark.parametrize("wrong", [{"callback_method": "PUT"}, {"reload_lock_seconds": -1}])
def test_wrong_options_are_refused_with_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(provider="seven", **wrong)


# --- our adapter against it -------------------------------------------------------------------------

CAMPAIGN = UUID("0123456789abcdef0123456789abcdef")


@dataclass
class Pair:
    """Our adapter and the seven.io it speaks to."""

    adapter: Seven
    account: Account

    async def hand_over(self, *messages: OutboundMessage) -> list[object]:
        leave_by = asyncio.get_running_loop().time() + 10
        outcomes: list[object] = []
        for request in self.adapter.requests(messages, "Demo"):
            outcomes += await self.adapter.hand_over(request, "Demo", leave_by)
        return outcomes


def message(position: int, phone: str, text: str = "Labas, ačiū 😀") -> OutboundMessage:
    return OutboundMessage(message_ref(CAMPAIGN, 7, position), f"+{phone}", text)


def in_doubt(of: OutboundMessage) -> Doubtful:
    now = datetime.now(UTC)
    return Doubtful(of.message_ref, of.phone, now - timedelta(seconds=60), now)


@pytest.fixture
async def pair(begin: StartAccount) -> AsyncIterator[Callable[..., Awaitable[Pair]]]:
    async with AsyncExitStack() as stack:

        async def made(**options: Any) -> Pair:
            account = await begin(**options)
            wire = Wire()
            stack.push_async_callback(wire.close)
            adapter = Seven(
                name="main",
                api_key=KEY,
                wire=wire,
                base_url=account.url + "/api",
                signing_key=options.get("signing_key"),
                timeout_seconds=5,
            )
            return Pair(adapter, account)

        yield made


ENDS: dict[str, MessageState | None] = {
    "85": None,
    "86": MessageState.REJECTED,
    "90": MessageState.UNDELIVERED,
    "91": MessageState.EXPIRED,
    "92": MessageState.ACCEPTED,
    "97": MessageState.SENT,
    "99": MessageState.FAILED,
}


@pytest.mark.parametrize("form", ["keyed", "top", "top_string", "empty_key", "bare"])
async def test_every_fate_from_hand_over_to_the_end(pair: Any, form: str) -> None:
    both = await pair(delivery_seconds=0.3, error_form=form)
    messages = [message(at, f"370600000{at:02d}") for at in range(100)]
    outcomes = await both.hand_over(*messages)
    refused = {at: outcome for at, outcome in enumerate(outcomes) if not isinstance(outcome, Accepted)}
    assert refused == {
        93: Rejected("403", "daily limit of this number"),
        94: Rejected("202", "invalid recipient"),
        95: Rejected("403", "daily limit of this number"),
        96: Rejected("202", "invalid recipient"),
    }
    ids = {o.provider_message_id: at for at, o in enumerate(outcomes) if isinstance(o, Accepted)}
    first = next(outcome for outcome in outcomes if isinstance(outcome, Accepted))
    assert (first.cost, first.segment_count) == (Decimal("0.0144"), 1)

    seen: dict[int, set[MessageState]] = {}

    async def all_ended() -> bool:
        answers = await both.adapter.ask([*ids], at_once)
        assert answers.trouble is None
        last = {ids[r.provider_message_id]: r for r in answers.receipts}
        for at, receipt in last.items():
            if receipt.evidence is not None:
                seen.setdefault(at, set()).add(receipt.evidence)
        return all(
            ENDS.get(f"{at:02d}", MessageState.DELIVERED) == (last[at].evidence if at in last else None)
            or at == 98
            for at in ids.values()
        )

    await until(all_ended)
    assert 98 not in seen
    assert (
        {MessageState.DELIVERED}
        <= seen[0]
        <= {MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED}
    )
    ledger = await both.account.simulator.ledger()
    assert (ledger["accepted"], ledger["phones"], ledger["most_per_phone"]) == (96, 96, 1)


async def test_a_request_refused_for_its_numbers_goes_out_one_by_one(pair: Any) -> None:
    both = await pair()
    messages = [message(1, "37060000094"), message(2, "37060000096")]
    assert (
        await both.hand_over(*messages)
        == [NotSent("invalid recipient, of a request with several", retry_at_once=True)] * 2
    )
    assert await both.hand_over(*messages) == [Rejected("202", "invalid recipient")] * 2


@pytest.mark.parametrize("kind", ["cut_after", "cut_half", "nonsense", "hang_after", "status_after"])
async def test_what_was_taken_unseen_is_found_in_the_journal(pair: Any, kind: str) -> None:
    both = await pair(delivery_seconds=0)
    more: dict[str, object] = {"hang_after": {"seconds": 0.1}, "status_after": {"code": 502}}.get(kind, {})
    await both.account.simulator.fault("send", kind, times=1, **more)
    messages = [message(at, f"370600000{at:02d}") for at in (1, 2, 3, 90, 98)]
    outcomes = await both.hand_over(*messages)
    assert all(isinstance(outcome, InDoubt) for outcome in outcomes)
    alone = message(50, "37060000050")
    await both.account.simulator.fault("send", kind, times=1, **more)
    assert isinstance((await both.hand_over(alone))[0], InDoubt)

    never = message(60, "37060000060")
    for those in ([*messages, alone, never], [messages[3]], [alone], [never]):
        found = await both.adapter.look_up([in_doubt(each) for each in those], at_once)
        assert found.trouble is None
        assert found.absent == [each.message_ref for each in those if each is never]
        assert {each.message_ref for each in found.seen} == {m.message_ref for m in those if m is not never}
        for sighting in found.seen:
            ends = {"90": MessageState.UNDELIVERED, "98": MessageState.ACCEPTED}
            assert sighting.evidence == ends.get(sighting.phone[-2:], MessageState.DELIVERED)
            assert sighting.accepted_at is not None
    (sighting,) = await _found(both, alone)
    answers = await both.adapter.ask([sighting.provider_message_id], at_once)
    assert [receipt.evidence for receipt in answers.receipts] == [MessageState.DELIVERED]
    assert (await both.account.simulator.ledger())["most_per_phone"] == 1


async def _found(both: Pair, of: OutboundMessage) -> list[Sighting]:
    by_phone = await both.adapter.find(Question("phone", of.phone), at_once)
    assert by_phone == await both.adapter.find(Question("reference", of.message_ref), at_once)
    assert by_phone == await both.adapter.find(Question("id", by_phone[0].provider_message_id), at_once)
    assert [each.message_ref for each in by_phone] == [of.message_ref]
    return by_phone


async def test_what_was_not_taken_is_absent_and_sent_again_once(pair: Any) -> None:
    both = await pair(delivery_seconds=0)
    await both.account.simulator.fault("send", "cut_before", times=1)
    messages = [message(at, f"370600000{at:02d}") for at in range(5)]
    assert all(isinstance(outcome, InDoubt) for outcome in await both.hand_over(*messages))
    found = await both.adapter.look_up([in_doubt(each) for each in messages], at_once)
    assert (found.seen, found.absent) == ([], [each.message_ref for each in messages])
    assert all(isinstance(outcome, Accepted) for outcome in await both.hand_over(*messages))


async def test_the_reload_lock_guards_a_second_attempt(pair: Any) -> None:
    """Taken, the answer lost, and a journal that is late: the lock refuses, and the journal settles it."""
    both = await pair(delivery_seconds=0)
    simulator = both.account.simulator
    messages = [message(at, f"370600000{at:02d}") for at in (1, 2)]
    await simulator.fault("send", "cut_after", times=1)
    await both.hand_over(*messages)
    await simulator.fault("journal", "nonsense", body="[]", times=2)
    doubtful = [in_doubt(each) for each in messages]
    late = await both.adapter.look_up(doubtful, at_once)
    assert late.absent == [each.message_ref for each in messages]
    again = await both.hand_over(*messages)
    assert all(isinstance(outcome, InDoubt) and "reload lock" in outcome.why for outcome in again)
    found = await both.adapter.look_up(doubtful, at_once)
    assert ({each.message_ref for each in found.seen}, found.absent) == (
        {each.message_ref for each in messages},
        [],
    )
    assert (await simulator.ledger())["most_per_phone"] == 1


async def test_unknown_ids_do_not_hide_the_others(pair: Any) -> None:
    both = await pair(delivery_seconds=0)
    outcomes = await both.hand_over(*(message(at, str(37_060_000_000 + at)) for at in range(8)))
    ids = [outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)]
    answers = await both.adapter.ask([*ids[:4], "77229135982", *ids[4:]], at_once)
    assert sorted(receipt.provider_message_id for receipt in answers.receipts) == sorted(ids)
    assert answers.trouble is None


async def test_a_status_that_comes_as_text_is_read(pair: Any) -> None:
    both = await pair(delivery_seconds=0)
    (outcome,) = await both.hand_over(message(1, "37060000089"))
    answers = await both.adapter.ask([outcome.provider_message_id], at_once)
    (receipt,) = answers.receipts
    assert receipt.changed_at is not None
    assert replace(receipt, changed_at=None) == Receipt(
        outcome.provider_message_id, MessageState.DELIVERED, "DELIVERED"
    )


async def test_the_balance_is_read(pair: Any) -> None:
    both = await pair(balance=Decimal("12.3456"), currency="PLN")
    assert await both.adapter.balance() == await both.adapter.probe()
    money = await both.adapter.balance()
    assert (money.amount, money.currency) == (Decimal("12.3456"), "PLN")


@pytest.mark.parametrize("method", ["GET", "POST", "JSON"])
async def test_callbacks_are_read_as_they_come(pair: Any, customer: Customer, method: str) -> None:
    both = await pair(
        delivery_seconds=0.2, callback_url=customer.url, callback_method=method, signing_key=SIGNING_KEY
    )
    (outcome,) = await both.hand_over(message(1, "37060000001"))
    await customer.came(3)
    read_so_far = [receipt for call in customer.calls for receipt in read(both.adapter, call)]
    assert all(receipt.changed_at is not None for receipt in read_so_far)
    assert [replace(receipt, changed_at=None) for receipt in read_so_far] == [
        Receipt(outcome.provider_message_id, state, word)
        for state, word in (
            (MessageState.ACCEPTED, "ACCEPTED"),
            (MessageState.SENT, "TRANSMITTED"),
            (MessageState.DELIVERED, "DELIVERED"),
        )
    ]


def read(adapter: Seven, call: Called) -> list[Receipt]:
    query = [
        (name, value) for name, values in parse_qs(call.url.partition("?")[2]).items() for value in values
    ]
    return adapter.read_callback(
        Callback(call.method, call.url, call.headers, query, call.body, datetime.now(UTC))
    )
