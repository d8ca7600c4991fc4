"""Namirial as its documents describe it: two hosts, validation, statuses, lists, callbacks; and the adapter
against it, from a message handed over to its end.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Doubtful,
    Failed,
    InDoubt,
    OutboundMessage,
    Outcome,
    Question,
    Rejected,
    Throttled,
)
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.wire import Wire
from simulator.ledger import Ledger
from simulator.namirial.fates import FATES
from tests.waiting import until

from .accounts import KEY
from .accounts import NAMIRIAL_BASIC as BASIC
from .accounts import NAMIRIAL_SEND as SEND
from .accounts import NAMIRIAL_STATUS as STATUS
from .accounts import PLUS_PHONE as PHONE
from .accounts import NamirialAccount as Account
from .accounts import namirial_order as order
from .conftest import (
    DEADLINE_SECONDS,
    Hooks,
    Start,
    at_once,
    callback_counts,
)

HEALTH = "/api/Services/checkServiceStatus"
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


Open = Callable[..., Awaitable[Account]]


@pytest.fixture
def open_account(start: Start) -> Open:
    async def opened(**options: Any) -> Account:
        return Account(await start(provider="namirial", **{"delivery_seconds": 0, **options}))

    return opened


@pytest.fixture
async def account(open_account: Open) -> Account:
    """One whose messages come to their end at the first question."""
    return await open_account()


# --- sending ----------------------------------------------------------------------------------------


async def test_a_send_is_answered_as_on_the_page(account: Account) -> None:
    reply = await account.post(order())
    assert (reply.status, reply.content_type) == (200, "application/json")
    answer = reply.json()
    assert list(answer) == ["message", "provider", "id"]
    assert (answer["message"], answer["provider"]) == ("0: Accepted for delivery", "PROVIDER1")
    assert UUID.fullmatch(answer["id"])
    (line,) = (await account.simulator.get("/_ledger?full=1")).body.splitlines()
    assert json.loads(line)["phone"] == PHONE[1:]
    assert json.loads(line)["id"] == answer["id"]
    assert (await account.simulator.ledger())["requests"] == {"send": 1}


async def test_without_detailed_there_is_no_id(account: Account) -> None:
    for document in ({"destination": PHONE, "text": "a"}, order(detailed=False)):
        assert (await account.post(document)).json() == {"message": "0: Accepted for delivery"}
    assert await account.simulator.accepted() == 2


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Basic",
        "basic x",
        BASIC.lower(),
        BASIC[:-1],
        "Bearer " + BASIC[6:],
        "Basic " + b64encode(b"a:b").decode(),
    ],
)
async def test_credentials_are_checked_before_anything_else(account: Account, given: str) -> None:
    for body in (order(), b"nonsense"):
        reply = await account.post(body, Authorization=given)
        assert (reply.status, reply.json()["code"]) == (401, 63)
    assert await account.simulator.accepted() == 0


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"nonsense",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"destination":"+37061234567","text":"a","text":"b"}',
        {"text": "a"},
        {"destination": PHONE},
        order(colour="red"),
        order(sender="Shop"),
        order(destination=37061234567),
        order(text=None),
        order(text="a" * 1601),
        order(text="\ud83d"),
        order(reference=None),
        order(reference=[]),
        order(reference={"service": "MARKETING", "code": "1"}),
        order(reference={"service": "MARKETING", "key": 1}),
        order(reference={"service": "MARKETING", "key": "\ud83d"}),
        order(detailed="true"),
        order(detailed=1),
        order(attemptCount=True),
        order(webhook="https://example.test"),
        order(webhook={}),
        order(webhook={"url": "https://example.test"}),
        order(webhook={"url": "https://example.test", "authentication": {}}),
        order(webhook={"url": "https://example.test", "authentication": {"type": "BASIC"}}),
        order(webhook={"url": "https://example.test", "authentication": {"type": "NONE", "user": "x"}}),
        order(webhook={"url": "http://example.test", "authentication": {"type": "NONE"}}),
        order(webhook={"url": "ftp://127.0.0.1", "authentication": {"type": "NONE"}}),
        order(webhook={"url": "https://", "authentication": {"type": "NONE"}}),
        order(webhook={"url": "https://[", "authentication": {"type": "NONE"}}),
        order(webhook={"url": "", "authentication": {"type": "NONE"}}),
    ],
    ids=lambda document: str(document)[-40:],
)
async def test_what_no_document_allows_is_a_plain_400(account: Account, document: object) -> None:
    reply = await account.post(document)
    assert (reply.status, reply.content_type) == (400, "text/plain")
    assert PHONE not in reply.body
    assert await account.simulator.accepted() == 0


async def test_a_message_is_json(account: Account) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert (await account.post(order(), Content_Type=kind)).status == 415
    assert (await account.post(order(), Content_Type="application/json; charset=utf-8")).status == 200


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (order(text=""), 66),
        (order("37061234567"), 56),
        (order("+07061234567"), 56),
        (order("+123456"), 56),
        (order("+1234567890123456"), 56),
        (order("+3706 1234567"), 56),
        (order("+٣٧٠٦١٢٣٤٥٦٧"), 56),
        (order(reference={"service": "SOMETHING"}), 59),
        (order(reference={"service": "marketing"}), 59),
        (order(reference={"key": "ref-1"}), 59),
        (order(reference={"action": "CAMPAIGN"}), 59),
        (order("+1234567"), None),
        (order("+123456789012345"), None),
        (order(text="a" * 1600), None),
        (order(reference={}), None),
        (order(reference={"service": "DIGITALSIGN"}), None),
        (order(attemptCount=1, businessRelationId="BR-1"), None),
        (order(webhook={"url": "https://example.test/x?y=z", "authentication": {"type": "NONE"}}), None),
    ],
)
async def test_errors_are_http_500_with_their_code(
    account: Account, document: dict[str, object], code: int | None
) -> None:
    reply = await account.post(document)
    if code is None:
        assert reply.status == 200
    else:
        assert reply.status == 500
        assert reply.json().keys() == {"code", "message", "details"}
        assert (reply.json()["code"], reply.json()["details"]) == (code, None)
    assert await account.simulator.accepted() == (code is None)


async def test_services_may_be_added(open_account: Open) -> None:
    account = await open_account(senders=("SHOP",))
    assert (await account.post(order(reference={"service": "SHOP"}))).status == 200


async def test_only_the_documented_methods_and_paths(account: Account) -> None:
    headers = {"Authorization": BASIC, "X-Api-Key": KEY}
    for method, path in (
        ("GET", SEND),
        ("PUT", SEND),
        ("GET", HEALTH),
        ("POST", STATUS + "x"),
        ("HEAD", STATUS + "x"),
    ):
        assert (await account.request(method, path, headers)).status == 405
    for path in ("/api/Admin/send", "/api/Services/balance", "/external/get/send.php"):
        assert (await account.request("POST", path, headers, b"{}")).status == 404


async def test_more_than_two_of_one_text_are_dropped_without_a_word(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [1_700_000_000.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    ids = [await account.take(key=f"ref-{at}") for at in range(4)]
    assert len(set(ids)) == 4
    assert [await account.word(each) for each in ids] == ["DELIVERED", "DELIVERED", None, None]
    assert await account.listed("reference/ref-2") == []
    assert await account.simulator.accepted() == 2
    await account.take(text="another")
    await account.take("+37061234568")
    assert await account.simulator.accepted() == 4
    moment[0] += 3601
    await account.take()
    assert await account.simulator.accepted() == 5


async def test_more_than_a_hundred_and_fifty_to_one_number_are_refused(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [1_700_000_000.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    for at in range(150):
        await account.take(text=f"text {at}")
        moment[0] += 1
    refused = await account.post(order(text="one more"))
    assert (refused.status, refused.json()["code"]) == (500, 60)
    assert (await account.post(order("+37061234568"))).status == 200
    moment[0] += 3451  # the first of them is an hour old, and a second
    assert (await account.post(order(text="one more"))).status == 200
    assert (await account.post(order(text="and another"))).json()["code"] == 60


# --- fates and the life of a message ----------------------------------------------------------------


async def test_the_table_of_fates_is_served_and_kept(account: Account) -> None:
    served = (await account.simulator.get("/_fates")).json()
    assert served["fates"].keys() == FATES.named.keys()
    taken = 0
    for ending in range(100):
        said = served["fates"].get(f"{ending:02d}", served["any_other"])
        reply = await account.post(order(f"+370600000{ending:02d}", key=f"key-{ending}"))
        if said["send_code"] == "12":
            assert (reply.status, reply.json()) == (
                200,
                {"message": "12: Error sending", "provider": "PROVIDER1"},
            )
        elif said["send_code"] is not None:
            assert (reply.status, str(reply.json()["code"])) == (500, said["send_code"])
        else:
            taken += 1
            (listed,) = await account.listed(f"reference/key-{ending}")
            assert listed["status"] == said["final"]
            assert await account.word(reply.json()["id"]) == (said["final"] if said["known_by_id"] else None)
            continue
        assert await account.listed(f"reference/key-{ending}") == []
    assert await account.simulator.accepted() == taken == 95


async def test_the_life_of_a_message(open_account: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await open_account(delivery_seconds=10)
    moment = [1_770_188_075.0]  # 2026-02-04 06:54:35 UTC
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    ids = [await account.take(f"+370600000{ending}") for ending in ("00", "87", "88", "90", "92", "97")]

    async def words() -> list[str | None]:
        return [await account.word(each) for each in ids]

    accepted = "PROVIDER_ACCEPTANCE"
    assert await words() == [accepted] * 6
    moment[0] += 5
    assert await words() == ["SENT", accepted, "SENT", "SENT", accepted, "SENT"]
    moment[0] += 4.9
    assert await words() == ["SENT", accepted, "SENT", "SENT", accepted, "SENT"]
    moment[0] += 0.2
    assert await words() == ["DELIVERED", "REJECTED", "DELIVERED", "UNDELIVERED", accepted, "SENT"]
    moment[0] += 1e6
    assert await words() == ["DELIVERED", "REJECTED", "READ", "UNDELIVERED", accepted, "SENT"]
    said = (await account.ask(ids[0])).json()
    assert said.keys() == {"message"}
    assert UUID.fullmatch(said["message"]["provider"].pop("id"))
    assert said["message"] == {
        "id": ids[0],
        "providerAcceptanceAt": "2026-02-04T06:54:35Z",
        "statusChangedAt": "2026-02-04T06:54:45Z",
        "reference": {"service": "MARKETING", "action": "CAMPAIGN", "key": "ref-1"},
        "channel": "SMS",
        "status": "DELIVERED",
        "provider": {"name": "PROVIDER1", "status": "delivered", "code": "0"},
        "sms": {"segments": 1},
    }


async def test_what_differs_between_messages(account: Account) -> None:
    async def said(ending: str, **more: Any) -> dict[str, Any]:
        return dict((await account.ask(await account.take(f"+370600000{ending}", **more))).json()["message"])

    read = await said("88")
    assert (read["status"], read["channel"], "sms" in read) == ("READ", "RCS", False)
    odd = await said("89")
    assert "sms" not in odd
    assert re.fullmatch(r"[0-9T:-]+\.[0-9]{3}Z", odd["statusChangedAt"])
    assert (await said("00", text="ą" * 71))["sms"] == {"segments": 2}
    assert (await said("01", reference={}))["reference"] == {}
    blocked = (await said("90"))["provider"]
    assert (blocked["status"], blocked["code"]) == ("undelivered", "1")
    assert blocked["message"] == "Number Blocked by Carrier"
    assert (await said("91"))["provider"]["status"] == "expired"


# --- the status host --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["{id}", "unknown", "phonenumber/%2B37061234567", "reference/ref-1"])
async def test_the_key_of_the_status_host_is_checked(account: Account, path: str) -> None:
    path = path.format(id=await account.take())
    for key in ("", "other", KEY + "x", BASIC):
        assert (await account.ask(path, key)).status == 403
    headers = {"Authorization": BASIC}
    assert (await account.request("GET", STATUS + path, headers)).status == 403
    assert (await account.ask(path)).status in {200, 404}


async def test_an_unknown_id_is_404_and_an_unknown_name_an_empty_list(account: Account) -> None:
    message_id = await account.take()
    other = f"{int(message_id[0], 16) ^ 1:x}"
    for wrong in (
        other + message_id[1:],
        message_id[:-1] + ("0" if message_id[-1] != "0" else "5"),
        "x",
        message_id.replace("-", ""),
    ):
        assert (await account.ask(wrong)).status == 404
    assert (await account.ask(message_id.upper())).status == 200
    assert (await account.ask("phonenumber/%2B37061234568")).json() == {"messages": []}
    for key in ("ref-2", "REF-1", "ref-1%20", "%00"):
        assert (await account.ask(f"reference/{key}")).json() == {"messages": []}


async def test_keys_and_numbers_in_a_path(account: Account) -> None:
    """`/` and `+` in a key are percent-encoded; a number's + may stand as it does on the page."""
    for at, key in enumerate(["a/b", "a+b", "a b", "a%2Fb", "ąč", "..", "?x=1&y#z"]):
        message_id = await account.take(f"+3706000010{at}", key=key)
        (found,) = await account.listed(f"reference/{quote(key, safe='')}")
        assert (found["id"], found["reference"]["key"]) == (message_id, key)
        for written in (f"+3706000010{at}", f"%2B3706000010{at}"):
            (found,) = await account.listed(f"phonenumber/{written}")
            assert found["id"] == message_id


async def test_lists_are_cut_and_in_no_order_to_rely_on(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 2, 4, 6, 0, 0, tzinfo=UTC)
    moment = [start.timestamp()]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
    ids = []
    for at in range(120):
        ids.append(await account.take(text=f"text {at}", key="one"))
        moment[0] += 10

    async def places(query: str = "") -> list[int]:
        by_phone = await account.listed(f"phonenumber/%2B37061234567{query}")
        assert await account.listed(f"reference/one{query}") == by_phone
        return [ids.index(each["id"]) for each in by_phone]

    assert await places() == list(range(70, 120))
    assert await places("?count=3") == [117, 118, 119]
    assert await places("?count=100") == await places("?count=101") == list(range(20, 120))
    assert await places("?count=999999999999999999") == list(range(20, 120))
    third = quote((start + timedelta(seconds=20)).isoformat())
    assert await places(f"?sendDate={third}") == [0, 1]  # sent before: the moment itself is not
    zulu = (start + timedelta(seconds=20.5)).isoformat().replace("+00:00", "Z")
    assert await places(f"?count=2&sendDate={zulu}") == [1, 2]
    assert await places("?sendDate=2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        "count=0",
        "count=-1",
        "count=1.5",
        "count=",
        "count=ten",
        "count=1&count=2",
        "sendDate=yesterday",
        "sendDate=2026-02-04T06:54:35",
        "sendDate=",
        "page=2",
        "count",
        "count=%FF",
    ],
)
async def test_queries_nobody_documents_are_refused(account: Account, query: str) -> None:
    for path in ("phonenumber/%2B37061234567", "reference/ref-1"):
        assert (await account.ask(f"{path}?{query}")).status == 400
    assert (await account.ask(f"{await account.take()}?{query}")).status == 400
    assert (await account.ask("phonenumber/37061234567")).status == 400


async def test_a_cleared_ledger_is_forgotten_whole(account: Account) -> None:
    old = await account.take()
    assert await account.simulator.delete("/_ledger") == 200
    assert await account.word(old) is None
    assert await account.listed("reference/ref-1") == await account.listed("phonenumber/+37061234567") == []
    for _ in range(2):
        await account.take()
    assert len(await account.listed("reference/ref-1")) == 2
    assert await account.simulator.accepted() == 2  # what was cleared does not count for the hour


async def test_the_health_check_wants_nothing(account: Account) -> None:
    for headers in ({}, {"Authorization": "Basic nonsense"}):
        assert (await account.request("POST", HEALTH, headers)).json() == {
            "globalStatus": True,
            "dbStatus": True,
            "servicesStatus": True,
            "errorMessage": "",
            "versionNumber": "27.1.0.4",
        }
    assert (await account.request("POST", HEALTH, {}, b"{}")).status == 400
    await account.simulator.fault("health", "code", code="1")
    assert (await account.request("POST", HEALTH, {})).json()["globalStatus"] is False


# --- faults -----------------------------------------------------------------------------------------


async def test_faults_in_namirials_words(account: Account) -> None:
    simulator = account.simulator
    for code in ("8", "56", "59", "60", "61", "63", "64", "66", "74", "999"):
        await simulator.fault("send", "code", code=code, times=1)
        reply = await account.post(order())
        assert (reply.status, reply.json()["code"]) == (500, int(code))
    await simulator.fault("send", "phone_code", code="61", times=1)
    assert (await account.post(order())).json()["code"] == 61
    assert await simulator.accepted() == 0
    await simulator.fault("send", "omit", times=1)
    assert (await account.post(order())).json() == {
        "message": "0: Accepted for delivery",
        "provider": "PROVIDER1",
    }
    assert await simulator.accepted() == 1
    await simulator.fault("send", "extra_keys", times=1)
    more = (await account.post(order())).json()
    assert len(more) > 3
    for endpoint, path in (
        ("status", str(more["id"])),
        ("reference", "reference/ref-1"),
        ("phone_number", "phonenumber/+37061234567"),
    ):
        await simulator.fault(endpoint, "unknown_word", word="TELEPORTED", times=1)
        assert "TELEPORTED" in (await account.ask(path)).body
        await simulator.fault(endpoint, "missing_ids", times=1)
        missing = await account.ask(path)
        assert missing.status == 404 if endpoint == "status" else len(missing.json()["messages"]) == 1
        await simulator.fault(endpoint, "status", code=503, retry_after=5, times=1)
        assert (await account.ask(path)).status == 503
        await simulator.fault(endpoint, "code", code="64", times=1)
        assert (await account.ask(path)).status == 500
        assert (await account.ask(path)).status == 200
    counted = (await simulator.ledger())["requests"]
    assert counted == {"send": 13, "status": 5, "reference": 5, "phone_number": 5}


# --- callbacks --------------------------------------------------------------------------------------


def documents(hooks: Hooks) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in hooks.taken]


def ask_for(hooks: Hooks, path: str = "x") -> dict[str, object]:
    return {"webhook": {"url": hooks.url + path, "authentication": {"type": "NONE"}}}


async def test_each_later_word_is_told_and_the_first_is_not(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.2)
    ids = {
        ending: await account.take(f"+370600000{ending}", key=ending, **ask_for(hooks, ending))
        for ending in ("00", "87", "88", "90", "92", "97", "98")
    }
    await callback_counts(account.simulator)
    told: dict[str, list[str]] = {ending: [] for ending in ids}
    for each in documents(hooks):
        told[each["message"]["reference"]["key"]].append(each["message"]["status"])
    assert told == {
        "00": ["SENT", "DELIVERED"],
        "87": ["REJECTED"],
        "88": ["SENT", "DELIVERED", "READ"],
        "90": ["SENT", "UNDELIVERED"],
        "92": [],
        "97": ["SENT"],
        "98": [],
    }
    last = next(each for each in documents(hooks) if each["message"]["status"] == "UNDELIVERED")
    assert last.keys() == {"id", "webhookConfigurationId", "type", "createdAt", "message"}
    assert last["type"] == "STATUS_UPDATE"
    assert datetime.fromisoformat(last["createdAt"]).tzinfo is not None
    assert UUID.fullmatch(last["webhookConfigurationId"])
    assert last["message"] == (await account.ask(ids["90"])).json()["message"]
    assert len({each["id"] for each in documents(hooks)}) == len(documents(hooks)) == 9
    assert {(each.method, each.headers["Content-Type"]) for each in hooks.taken} == {
        ("POST", "application/json")
    }
    assert {each.url.rpartition("/")[2] for each in hooks.taken} == {"00", "87", "88", "90", "97"}


async def test_at_once_there_is_one_word_to_tell(account: Account, hooks: Hooks) -> None:
    await account.take("+37060000088", **ask_for(hooks))
    await callback_counts(account.simulator)
    assert [each["message"]["status"] for each in documents(hooks)] == ["READ"]


# --- the adapter against it -------------------------------------------------------------------------

EXPECTED: dict[str, tuple[Outcome | None, MessageState | None]] = {
    "86": (None, MessageState.DELIVERED),
    "87": (None, MessageState.REJECTED),
    "88": (None, MessageState.READ),
    "89": (None, MessageState.DELIVERED),
    "90": (None, MessageState.UNDELIVERED),
    "91": (None, MessageState.UNDELIVERED),
    "92": (None, MessageState.ACCEPTED),
    "93": (Rejected("61", "the number is on a watchlist"), None),
    "94": (Rejected("56", "invalid number"), None),
    "95": (Rejected("61", "the number is on a watchlist"), None),
    "96": (Rejected("8", "wrong number"), None),
    "97": (None, MessageState.SENT),
    "98": (None, None),
    "99": (Failed("12", "a code their documents do not hold"), None),
    "00": (None, MessageState.DELIVERED),
}


@asynccontextmanager
async def adapter(account: Account, **more: Any) -> AsyncIterator[Namirial]:
    wire = Wire()
    given = {
        "name": "main",
        "username": "YourLogin",
        "password": "your_password",
        "api_key": KEY,
        "send_url": account.simulator.url,
        "status_url": account.simulator.url,
        "reference_service": "MARKETING",
        "reference_action": "CAMPAIGN",
        "timeout_seconds": 10.0,
    }
    try:
        yield Namirial(wire=wire, **{**given, **more})
    finally:
        await wire.close()


async def hand_over(provider: Namirial, *messages: OutboundMessage) -> list[Outcome]:
    leave_by = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    requests = provider.requests(messages, "Demo")
    outcomes = await asyncio.gather(*(provider.hand_over(each, "Demo", leave_by) for each in requests))
    return [outcome for request in outcomes for outcome in request]


async def test_from_hand_over_to_every_end(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.3)
    messages = [
        OutboundMessage(
            f"run/1+{ending}", f"+3706000{at:02d}{ending}", f"Labas, ačiū {at} 😀", hooks.url + ending
        )
        for at in range(4)
        for ending in EXPECTED
    ]
    messages = [
        OutboundMessage(f"{each.message_ref}-{at}", each.phone, each.text, each.callback_url)
        for at, each in enumerate(messages)
    ]
    async with adapter(account, concurrency=5) as provider:
        outcomes = await hand_over(provider, *messages)
        ids: dict[str, OutboundMessage] = {}
        for message, outcome in zip(messages, outcomes, strict=True):
            expected, _ = EXPECTED[message.phone[-2:]]
            if expected is None:
                assert isinstance(outcome, Accepted)
                ids[outcome.provider_message_id] = message
            else:
                assert outcome == expected
        assert len(ids) == 4 * 10

        states: dict[str, MessageState | None] = {}

        async def all_ended() -> bool:
            answers = await provider.ask(list(ids), at_once)
            assert answers.trouble is None
            states.update({str(each.provider_message_id): each.evidence for each in answers.receipts})
            assert {each.message_ref for each in answers.receipts} <= {m.message_ref for m in messages}
            return all(states.get(each) is EXPECTED[ids[each].phone[-2:]][1] for each in ids)

        await until(all_ended)

        # What the callbacks say comes to the same, in whatever order they came.
        await callback_counts(account.simulator)
        told: dict[str, MessageState] = {}
        for callback in hooks.taken:
            for receipt in provider.read_callback(callback):
                assert receipt.evidence is not None
                assert receipt.provider_message_id is not None
                assert receipt.message_ref == ids[receipt.provider_message_id].message_ref
                before = told.get(receipt.provider_message_id, MessageState.ACCEPTED)
                told[receipt.provider_message_id] = max(before, receipt.evidence, key=lambda s: s.rank)
        silent = {each for each in ids if ids[each].phone[-2:] in {"92", "98"}}
        assert told == {each: state for each, state in states.items() if each not in silent}

        counted = (await account.simulator.get("/_ledger?counts=1")).body.splitlines()
        assert Counter(
            {"+" + json.loads(line)["phone"]: json.loads(line)["count"] for line in counted}
        ) == Counter(message.phone for message in ids.values())
        assert (await account.simulator.ledger())["most_per_phone"] == 1


@pytest.mark.parametrize(
    "kind", ["cut_after", "cut_half", "hang_after", "status_after", "omit", "redirect_after"]
)
async def test_doubt_is_settled_by_looking_up(open_account: Open, kind: str) -> None:
    account = await open_account()
    fields: dict[str, dict[str, object]] = {"hang_after": {"seconds": 60}, "status_after": {"code": 502}}
    async with adapter(account, timeout_seconds=0.5 if kind == "hang_after" else 10.0) as provider:
        await account.simulator.fault("send", kind, **fields.get(kind, {}))
        message = OutboundMessage(
            "0f/1+98", "+37060000098", "Labas"
        )  # an id of 98 is never known, its reference is
        (outcome,) = await hand_over(provider, message)
        assert isinstance(outcome, InDoubt)
        now = datetime.now(UTC)
        missing = Doubtful("0f/1+99", "+37060000099", now, now)
        sightings = await provider.look_up(
            [Doubtful(message.message_ref, message.phone, now, now), missing], at_once
        )
        (seen,) = sightings.seen
        assert (seen.message_ref, seen.evidence) == (message.message_ref, MessageState.ACCEPTED)
        assert list(sightings.absent) == ["0f/1+99"]
        assert sightings.trouble is None
        (line,) = (await account.simulator.get("/_ledger?full=1")).body.splitlines()
        assert json.loads(line)["id"] == seen.provider_message_id
        assert await account.simulator.accepted() == 1


@pytest.mark.parametrize("kind", ["cut_before", "nonsense_before", "redirect"])
async def test_what_was_never_taken_is_absent(account: Account, kind: str) -> None:
    async with adapter(account) as provider:
        await account.simulator.fault("send", kind)
        (outcome,) = await hand_over(provider, OutboundMessage("ref-1", PHONE, "Labas"))
        assert isinstance(outcome, InDoubt)
        sightings = await provider.look_up([Doubtful("ref-1", PHONE, *[datetime.now(UTC)] * 2)], at_once)
        assert (list(sightings.seen), list(sightings.absent)) == ([], ["ref-1"])
        assert await account.simulator.accepted() == 0


async def test_messages_are_found_over_pages(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1_770_188_075.0]
    monkeypatch.setattr(Ledger, "clock", lambda _ledger: moment[0])
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
