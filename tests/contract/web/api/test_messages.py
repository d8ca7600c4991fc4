"""Single messages: pages that visit each once, search without a number in an address, the export."""

import csv
import io
import json
from uuid import UUID

import pytest

from campaigns.domain.message_ref import message_ref
from campaigns.store.session import Database
from tests.contract.web.api.conftest import SECRET_PHONE, Api, is_problem
from tests.integration.rows import query
from tests.river import phones, submit
from worker.web.api.operations import MOST_EXPORTS


async def test_pages_visit_each_message_once(api: Api, ours: UUID) -> None:
    for limit in (7, 100, 200):
        found = await api.pages(f"/v1/campaigns/{ours}/messages", limit=limit)
        assert [each["row"] for each in found] == list(range(2, 252))
    assert {each["phone"] for each in found} == {row["phone"] for row in phones(250)}


async def test_messages_by_state_and_reason(api: Api, ours: UUID, database: Database) -> None:
    await query(
        database,
        "UPDATE message SET state = 'sending', attempt = 1 WHERE batch_id ="
        " (SELECT id FROM batch WHERE number = 2) AND position IN (3, 99)",
    )
    await query(
        database,
        "UPDATE message SET state = 'rejected', reason = 'no such subscriber' WHERE state = 'sending'",
    )
    await query(
        database, "UPDATE batch SET rejected_count = 2, queued_count = queued_count - 2 WHERE number = 2"
    )
    path = f"/v1/campaigns/{ours}/messages"
    rejected = await api.pages(path, state="rejected", limit=1)
    assert [each["row"] for each in rejected] == [105, 201]
    assert await api.pages(path, reason="no such subscriber") == rejected
    assert await api.pages(path, reason="something else") == []
    assert len(await api.pages(path, state="queued", limit=200)) == 248
    exported = await api.get(f"/v1/campaigns/{ours}/export", state="rejected")
    assert len(exported.text.splitlines()) == 3


@pytest.mark.parametrize("by", ["phone", "reference"])
async def test_search(api: Api, ours: UUID, theirs: UUID, by: str) -> None:
    """An owner finds its own; what is another's is not found, whatever it is looked for by."""
    own = {"phone": phones(1)[0]["phone"], "reference": message_ref(ours, 1, 0)}
    other = {"phone": SECRET_PHONE, "reference": message_ref(theirs, 1, 0)}
    found = await api.post("/v1/messages/search", {by: own[by]})
    assert [each["reference"] for each in found.json["items"]] == [message_ref(ours, 1, 0)]
    assert (await api.post("/v1/messages/search", {by: other[by]})).json["items"] == []
    everybody = await api.with_key(is_for_all_owners=True)
    assert len((await everybody.post("/v1/messages/search", {by: other[by]})).json["items"]) == 1


async def test_a_search_has_pages(api: Api, ours: UUID) -> None:
    phone = phones(1)[0]["phone"]
    for key in "ab":  # settled by one statement each: the same moment in several batches
        await submit(api.database, phones(1), owner="shop", submission_key=key)
    await query(api.database, "UPDATE message SET updated_at = '2026-01-01T00:00Z' WHERE phone = $1", phone)
    whole = (await api.post("/v1/messages/search", {"phone": phone})).json
    assert (len(whole["items"]), whole["next_cursor"]) == (3, None)
    found, cursor = [], None
    for _ in whole["items"]:
        page = (await api.post("/v1/messages/search", {"phone": phone, "limit": 1, "cursor": cursor})).json
        found += page["items"]
        cursor = page["next_cursor"]
    assert (found, cursor) == (whole["items"], None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body"),
        ({"phone": "8 600 04711"}, None),
        ({"phone": "+37060004711", "reference": "x"}, "/body"),
        ({"phone": 37060004711}, "/body/phone"),
        ({"phone": "+37060004711", "+37060004711": 1}, "/body"),
        ({"phone": "+37060004711", "region": "4711"}, "/body/region"),
        ({"phone": "+37060004711", "limit": 4711}, "/body/limit"),
        ({"phone": "\u0000"}, "/body/phone"),
        ({"phone": "+37060004711", "cursor": "4711"}, "/body/cursor"),
        ({"phone": "+37060004711", "cursor": "WyIyMDI2LTAxLTAxVDAwOjAwKzAwOjAwIiwieCJd"}, "/body/cursor"),
    ],
)
async def test_a_wrong_search_repeats_nothing(api: Api, body: dict[str, object], pointer: str | None) -> None:
    said = await api.post("/v1/messages/search", body)
    assert is_problem(said, 422, "invalid-request")
    assert [each["pointer"] for each in said.json.get("errors", [])] == ([pointer] if pointer else [])
    assert "4711" not in said.text


async def test_a_key_may_search_so_often(api: Api) -> None:
    other = await api.with_key()
    body = {"reference": message_ref(UUID(int=1), 1, 0)}
    said = [await api.post("/v1/messages/search", body) for _ in range(20)]
    refused = [each for each in said if each.status != 200]
    assert refused
    assert is_problem(refused[0], 429, "too-many-requests")
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert (await other.post("/v1/messages/search", body)).status == 200, "another key is unhurt"


async def test_one_message(api: Api, ours: UUID, theirs: UUID) -> None:
    said = await api.get(f"/v1/messages/{message_ref(ours, 1, 0)}")
    assert said.json["state"] == "queued"
    (step,) = said.json["timeline"]
    assert (step["source"], step["state"]) == ("submission", "queued")
    kept = bytes.fromhex("019accf4a01a0400") + b"\xffWORD OF\xff THEIRS"
    await query(api.database, "UPDATE message SET timeline = $1", kept)
    step = (await api.get(f"/v1/messages/{message_ref(ours, 1, 0)}")).json["timeline"][-1]
    assert step == {
        "at": "2025-11-29T00:12:55.194000+00:00",
        "source": "callback",
        "state": None,
        "provider_state": "WORD OF THEIRS",
        "attempt": None,
        "provider_message_id": None,
    }
    for nobodys in (message_ref(theirs, 1, 0), message_ref(ours, 99, 0), "nonsense"):
        assert is_problem(await api.get(f"/v1/messages/{nobodys}"), 404, "not-found")


async def test_the_export_is_whole_in_both_forms(api: Api, database: Database) -> None:
    rows = [{"phone": each["phone"], "note": '=1+1,"x"'} for each in phones(120)]
    campaign_id = (await submit(database, rows, owner="shop")).id
    path = f"/v1/campaigns/{campaign_id}/export"

    as_csv = await api.get(path)
    assert as_csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert as_csv.headers["Content-Disposition"] == f'attachment; filename="{campaign_id}.csv"'
    assert as_csv.headers["Cache-Control"] == "no-store"
    read = list(csv.DictReader(io.StringIO(as_csv.text, newline="")))
    assert [each["phone"] for each in read] == [each["phone"] for each in rows]
    assert {each["note"] for each in read} == {'\'=1+1,"x"'}, "no formula"

    as_jsonl = await api.get(path, format="jsonl")
    lines = [json.loads(line) for line in as_jsonl.text.splitlines()]
    assert [each["phone"] for each in lines] == [each["phone"] for each in rows]
    assert {each["note"] for each in lines} == {'=1+1,"x"'}
    audited = await query(database, "SELECT actor FROM audit WHERE action = 'campaign.export'")
    assert [row["actor"] for row in audited] == [api.key.split("_")[1]] * 2


async def test_so_many_exports_at_once(api: Api, database: Database) -> None:
    """One more than there is room for is told to come again. Their readers read nothing meanwhile."""
    rows = [{"phone": each["phone"], "note": "x" * 1000} for each in phones(20_000)]
    campaign_id = (await submit(database, rows, owner="shop")).id
    url = f"{api.web.url}/v1/campaigns/{campaign_id}/export"
    open_ones = []
    for _ in range(MOST_EXPORTS):
        key = (await api.with_key()).key
        open_ones.append(await api.web.client.get(url, headers={"Authorization": f"Bearer {key}"}))
    said = await api.get(f"/v1/campaigns/{campaign_id}/export")
    assert is_problem(said, 503, "busy")
    assert said.headers["Retry-After"]
    for response in open_ones:
        response.close()
