"""Submitting and checking over HTTP: every form of body, the key, refusals, and uploads that stall."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api, Said, is_problem
from tests.contract.web.conftest import URLS
from tests.integration.rows import query
from tests.integration.submitted import stored
from tests.river import phones
from tests.waiting import until
from worker.web.api.submitting import MOST_QUERY_CHARACTERS

BODY: dict[str, Any] = {
    "account": "main",
    "text": "Hello {name}",
    "name": "Spring sale",
    "region": "LT",
    "recipients": [
        {"phone": "+37060000001", "name": "Ona"},
        {"phone": "8 600 00002", "name": 7},
        {"phone": "12", "name": None},
    ],
}
FIELDS = {name: value for name, value in BODY.items() if name != "recipients"}
CSV = "phone,name\n+37060000001,Ona\n8 600 00002,7\n12,\n"
JSONL = "".join(json.dumps(each) + "\n" for each in BODY["recipients"])


async def submit(api: Api, body: Any = BODY, *, key: str | None = None, path: str = "") -> Said:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.call("POST", f"/v1/campaigns{path}", json=body, headers=headers)


async def stream(api: Api, data: Any, media_type: str, *, path: str = "", **more: Any) -> Said:
    headers = {"Content-Type": media_type} | more.pop("headers", {})
    fields = FIELDS | more
    return await api.call("POST", f"/v1/campaigns{path}", params=fields, data=data, headers=headers)


def form(**fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData()
    for name, value in fields.items():
        made.add_field(name, value)
    made.add_field("file", CSV, filename="customers.csv", content_type="text/csv")
    return made


async def test_the_span_that_asks_for_it_is_kept(api: Api, database: Database) -> None:
    """W3C's `traceparent`; what is none is passed over, and refuses no campaign."""
    asked_by = f"00-{'a' * 32}-{'b' * 16}-01"
    for given, name in ((asked_by, "one"), ("370612000001", "another")):
        said = await api.call(
            "POST", "/v1/campaigns", json=BODY | {"name": name, "text": name}, headers={"traceparent": given}
        )
        assert said.status == 201, said.text
    rows = await query(database, "SELECT name, trace_parent FROM campaign ORDER BY created_at")
    assert rows == [{"name": "one", "trace_parent": asked_by}, {"name": "another", "trace_parent": None}]


@pytest.mark.parametrize("kind", ["json", "csv", "jsonl", "form"])
async def test_each_form_of_body_is_the_same_campaign(api: Api, kind: str) -> None:
    match kind:
        case "json":
            said = await submit(api)
        case "csv":
            said = await stream(api, CSV, "text/csv")
        case "jsonl":
            said = await stream(api, JSONL, "application/jsonl")
        case _:
            said = await api.call("POST", "/v1/campaigns", data=form(**FIELDS))

    assert said.status == 201, said.text
    assert said.headers["Location"] == f"/v1/campaigns/{said.json['id']}"
    assert (said.json["recipient_count"], said.json["refused"]) == (2, {"too_short": 1})
    assert (said.json["owner"], said.json["name"]) == ("shop", "Spring sale")
    found = (await api.get(said.headers["Location"])).json
    assert found | {"costly": [], "saved_segment_count": 0} == said.json
    lines = await query(api.database, "SELECT phone, text FROM message ORDER BY phone")
    assert [(line["phone"], line["text"]) for line in lines] == [
        ("+37060000001", "Hello Ona"),
        ("+37060000002", "Hello 7"),
    ]
    (audited,) = (await api.get("/v1/audit", subject=f"campaign/{said.json['id']}")).json["items"]
    assert audited["action"] == "campaign.submit"


async def test_the_same_key_is_the_same_campaign_and_other_content_a_problem(api: Api) -> None:
    first = await submit(api, key='"order-1"')
    again = await submit(api, key="order-1")
    other = await submit(api, BODY | {"text": "Bye {name}"}, key="order-1")
    foreign = await submit(await api.with_key(owner="clinic"), key="order-1")

    assert (first.status, again.status, again.json["id"]) == (201, 200, first.json["id"])
    assert again.headers["Location"] == first.headers["Location"]
    assert is_problem(other, 422, "submission-key-reused")
    assert (foreign.status, foreign.json["id"] != first.json["id"]) == (201, True)


async def test_without_a_key_the_same_content_is_sent_once(api: Api) -> None:
    costly = BODY | {"text": "Hello {name} – " + "x" * 60}
    first, again = await submit(api, costly), await submit(api, costly)

    assert (first.status, again.status, again.json["id"]) == (201, 200, first.json["id"])
    said = [(each.json["costly"], each.json["saved_segment_count"]) for each in (first, again)]
    assert said == [(["–"], 1)] * 2


async def test_a_second_one_that_comes_while_the_first_runs_waits_for_it(api: Api) -> None:
    said = await asyncio.gather(*(submit(api, key="order-1") for _ in range(4)))

    assert sorted(each.status for each in said) == [200, 200, 200, 201]
    assert len({each.json["id"] for each in said}) == 1


async def test_a_check_says_what_would_become_of_it_and_stores_nothing(api: Api) -> None:
    as_json = await submit(api, path="/check")
    as_csv = await stream(api, CSV, "text/csv", path="/check")

    assert (as_json.status, as_csv.status) == (200, 200)
    assert (as_json.json["row_count"], as_json.json["message_count"]) == (3, 2)
    assert as_json.json["sample"][0]["text"] == "Hello Ona"
    assert as_json.json["known"] is None
    assert "+37060000001" not in as_json.text
    assert (await stored(api.database))["campaign"] == 0
    taken = await submit(api)
    assert (await submit(api, path="/check")).json["known"]["id"] == taken.json["id"]


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "no head\r\n\r\nx\r\n", "a: b\r\n" * 200])
async def test_a_form_that_cannot_be_read_is_no_mistake_of_ours(api: Api, part: str) -> None:
    said = await api.call(
        "POST",
        "/v1/campaigns",
        data=f"--b\r\n{part}--b--\r\n".encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert is_problem(said, 400, "malformed")


async def test_the_longest_text_fits_into_a_query(api: Api) -> None:
    said = await stream(api, CSV, "text/csv", path="/check", text="😀" * MOST_QUERY_CHARACTERS)

    assert is_problem(said, 422, "invalid-request"), "it is too long as an SMS"
    longer = await stream(api, CSV, "text/csv", path="/check", text="a" * (MOST_QUERY_CHARACTERS + 1))
    assert longer.json["errors"][0]["pointer"] == "/query/text"


@pytest.mark.parametrize("path", ["", "/check"])
@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"account": "nobody"}, "/body/account"),
        ({"colour": "red"}, "/body"),
        ({"text": ""}, "/body/text"),
        ({"recipients": []}, "/body/recipients"),
        ({"recipients": [{"phone": ["+37060000001"]}]}, "/body/recipients/0"),
        ({"recipients": phones(10_001)}, "/body/recipients"),
        ({"send_at": 1}, "/body/send_at"),
    ],
)
async def test_what_is_wrong_is_pointed_at(api: Api, path: str, wrong: dict[str, Any], pointer: str) -> None:
    said = await submit(api, BODY | wrong, path=path)

    assert is_problem(said, 422, "invalid-request")
    assert pointer in {each["pointer"] for each in said.json["errors"]}
    assert "+3706" not in said.text
    assert (await stored(api.database))["campaign"] == 0


async def test_a_whole_submission_that_cannot_be_used_is_one_sentence(api: Api) -> None:
    missing = await submit(api, BODY | {"text": "Hello {town}"})
    torn = await stream(api, 'phone,name\n+37060000001,"Ona\n', "text/csv")
    nobody = await stream(api, "phone,name\n12,Ona\n", "text/csv")

    assert all(is_problem(each, 422, "invalid-request") for each in (missing, torn, nobody))
    assert "{town}" in missing.json["detail"]
    assert "row 2" in torn.json["detail"]
    assert "not one of the 1 recipients" in nobody.json["detail"]
    assert (await stored(api.database))["campaign"] == 0


async def test_fields_belong_where_the_body_says(api: Api) -> None:
    bare = await api.call("POST", "/v1/campaigns", data=CSV, headers={"Content-Type": "text/csv"})
    both = await api.call("POST", "/v1/campaigns?region=LT", json=BODY)
    no_file = await api.call("POST", "/v1/campaigns", data=_without_file())
    packed = await stream(api, CSV, "text/csv", headers={"Content-Encoding": "gzip"})

    assert is_problem(bare, 422, "invalid-request")
    assert {each["pointer"] for each in bare.json["errors"]} == {"/query/account", "/query/text"}
    assert is_problem(both, 422, "invalid-request")
    assert both.json["errors"][0]["pointer"] == "/query/region"
    assert is_problem(no_file, 422, "invalid-request")
    assert no_file.json["errors"][0]["pointer"] == "/body/file"
    assert is_problem(packed, 415, "unsupported-media-type")


@pytest.mark.parametrize("path", ["", "/check"])
async def test_a_field_after_the_file_is_refused_and_not_passed_over(api: Api, path: str) -> None:
    """`not_after`, or a region, would be heeded by nobody."""
    late = form(**FIELDS)
    late.add_field("region", "LT")
    said = await api.call("POST", f"/v1/campaigns{path}", data=late)
    assert is_problem(said, 400, "malformed")
    assert "send the file last" in said.json["detail"]
    assert await query(api.database, "SELECT FROM campaign") == []


def _without_file() -> aiohttp.MultipartWriter:
    made = aiohttp.MultipartWriter("form-data")
    made.append("main").set_content_disposition("form-data", name="account")
    return made


async def test_a_key_may_use_its_accounts_alone(api: Api) -> None:
    narrow = await api.with_key(accounts=["silent"])

    assert is_problem(await submit(narrow), 422, "invalid-request")
    assert is_problem(await stream(narrow, CSV, "text/csv"), 422, "invalid-request")
    assert (await submit(narrow, BODY | {"account": "silent"})).status == 201
    assert is_problem(await submit(await api.with_key(scopes=["read"])), 403, "missing-scope")


async def test_a_json_body_has_a_bound(api: Api) -> None:
    large = json.dumps(BODY | {"recipients": [{"phone": "+37060000001", "name": "x" * 5_000_000}]})

    said = await stream(api, io.BytesIO(large.encode()), "application/json")

    assert is_problem(said, 413, "too-large")
    many = await submit(api, BODY | {"recipients": [{"phone": "1"}] * 10_001})
    assert is_problem(many, 422, "invalid-request")
    assert [each["pointer"] for each in many.json["errors"]] == ["/body/recipients"]
    assert "text/csv" in many.json["errors"][0]["detail"]


# --- uploads that stall or break off -------------------------------------------------------------------


@asynccontextmanager
async def stalled(api: Api, *, path: str = "/v1/campaigns") -> AsyncIterator[asyncio.StreamWriter]:
    """An upload that was let in, or refused for want of room, and goes on no more until the block ends: then
    its client hangs up.
    """
    host, _, port = api.web.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST {path}?account=main&text=Hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        f"Authorization: Bearer {api.key}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(30):
        answer = await reader.readline()
    if b"100" in answer:
        writer.write(b"phone\n+37060000001\n")
        await writer.drain()
    try:
        yield writer
    finally:
        writer.close()


async def _is_busy(api: Api) -> bool:
    said = await stream(api, "phone,name\n12,Ona\n", "text/csv")
    return said.status == 503


async def test_six_stalled_uploads_hold_nobody_up(api: Api) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(stalled(api))
        await until(lambda: _is_busy(api), "two of them have the slots")

        async with asyncio.timeout(5):
            refused = await stream(api, CSV, "text/csv")
            small = await submit(api)
            callback = api.web.path(URLS.url_of_account())
            async with api.web.client.get(callback, params={"id": "1", "state": "delivered"}) as answer:
                called_back = answer.status
            checked = await submit(api, path="/check")

        assert is_problem(refused, 503, "busy")
        assert int(refused.headers["Retry-After"]) > 0
        assert (small.status, called_back, checked.status) == (201, 200, 200)

    async def is_free() -> bool:
        return (await stream(api, CSV, "text/csv")).status in {200, 201}

    await until(is_free, "the slots are free once their clients hung up")


async def test_a_stalled_upload_does_not_hold_up_the_end_of_the_process(api: Api, database: Database) -> None:
    async with stalled(api), stalled(api):
        await until(lambda: _is_busy(api), "both are being read")
        async with asyncio.timeout(10):  # 15 s are what a connection is waited for
            await api.web.end()
    assert (await stored(database))["campaign"] == 0


async def test_a_client_that_hangs_up_leaves_nothing(api: Api, database: Database) -> None:
    async with stalled(api):
        pass

    async def is_gone() -> bool:
        staged = await query(database, "SELECT relname FROM pg_class WHERE relpersistence = 't'")
        return not staged and (await stored(database))["campaign"] == 0

    await until(is_gone, "nothing of it is staged or stored")
    assert (await stream(api, CSV, "text/csv")).status == 201


async def _first_line(api: Api, account: str, *headers: str) -> bytes:
    """What a client hears that waits with its body until it is asked for it (RFC 9110, 10.1.1)."""
    host, _, port = api.web.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        f"POST /v1/campaigns?account={account}&text=Hello HTTP/1.1",
        "Host: localhost",
        "Content-Type: text/csv",
        "Expect: 100-continue",
        "Content-Length: 1000000",
        *headers,
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    return line.rstrip()


async def test_a_body_is_asked_for_once_key_query_and_room_were_looked_at(api: Api) -> None:
    key = f"Authorization: Bearer {api.key}"

    assert (await _first_line(api, "main")).startswith(b"HTTP/1.1 401 ")
    assert (await _first_line(api, "nobody", key)).startswith(b"HTTP/1.1 422 ")
    assert (await _first_line(api, "main", key)) == b"HTTP/1.1 100 Continue"
    async with stalled(api), stalled(api, path="/v1/campaigns/check"):
        await until(lambda: _is_busy(api), "the slots are taken")
        assert (await _first_line(api, "main", key)).startswith(b"HTTP/1.1 503 ")
