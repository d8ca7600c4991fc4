"""What becomes of a message at Namirial: fates, the status host, and faults in its own words."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from simulator.ledger import Ledger
from tests.contract.simulator.accounts import KEY
from tests.contract.simulator.accounts import NAMIRIAL_BASIC as BASIC
from tests.contract.simulator.accounts import NAMIRIAL_STATUS as STATUS
from tests.contract.simulator.accounts import NamirialAccount as Account
from tests.contract.simulator.accounts import namirial_order as order
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.namirial.paths import HEALTH, UUID

# --- fates and the life of a message ----------------------------------------------------------------


async def test_a_status_is_answered_as_on_the_page(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10)
    message_id = await account.take("+37060000000")
    moment[0] += 1e6
    said = (await account.ask(message_id)).json()
    assert said.keys() == {"message"}
    assert UUID.fullmatch(said["message"]["provider"].pop("id"))
    assert said["message"] == {
        "id": message_id,
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
    await account.take("+37060000098", key="unknown-by-id")
    assert (await account.listed("reference/unknown-by-id"))[0]["status"] == "PROVIDER_ACCEPTANCE"
    await account.post(order("+37060000099", key="refused"))
    assert await account.listed("reference/refused") == []


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
    assert (await account.ask(message_id.replace("-", ""))).status == 404
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
