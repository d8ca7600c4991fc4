"""Namirial's sending as its documents describe it: validation, errors, limits."""

import json
from base64 import b64encode

import pytest

from tests.contract.simulator.accounts import KEY
from tests.contract.simulator.accounts import NAMIRIAL_BASIC as BASIC
from tests.contract.simulator.accounts import NAMIRIAL_SEND as SEND
from tests.contract.simulator.accounts import NAMIRIAL_STATUS as STATUS
from tests.contract.simulator.accounts import PLUS_PHONE as PHONE
from tests.contract.simulator.accounts import NamirialAccount as Account
from tests.contract.simulator.accounts import namirial_order as order
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.namirial.paths import HEALTH, UUID


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
    account: Account, moment: list[float]
) -> None:
    moment[0] = 1_700_000_000.0
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
    account: Account, moment: list[float]
) -> None:
    moment[0] = 1_700_000_000.0
    for at in range(150):
        await account.take(text=f"text {at}")
        moment[0] += 1
    refused = await account.post(order(text="one more"))
    assert (refused.status, refused.json()["code"]) == (500, 60)
    assert (await account.post(order("+37061234568"))).status == 200
    moment[0] += 3451  # the first of them is an hour old, and a second
    assert (await account.post(order(text="one more"))).status == 200
    assert (await account.post(order(text="and another"))).json()["code"] == 60
