"""Webhooks over HTTP: made, changed, tried, and heard of again."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns import outbox
from campaigns.domain.webhooks import Attempt, EventType
from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api, is_problem
from tests.contract.web.api.test_acts import actions
from tests.integration.rows import query
from tests.river import phones, submit

URL = "https://93.184.216.34/hook"  # a number: nothing has to be looked up


async def make(api: Api, **more: Any) -> str:
    """A webhook. Gives its path."""
    said = await api.post("/v1/webhooks", {"url": URL} | more)
    assert said.status == 201, said.text
    return str(said.headers["Location"])


async def take_all(database: Database, *, status: int) -> None:
    """As a worker delivers: every waiting event is answered so."""
    for claimed in await outbox.claim(database, most=99):
        await outbox.settle(database, claimed, Attempt(status, 3, answer="so"), 0.5)


async def test_a_webhook_lives(api: Api, database: Database) -> None:
    said = await api.post("/v1/webhooks", {"url": URL, "event_types": ["campaign.finished", "campaign.held"]})
    assert said.status == 201
    assert said.json["secret"].startswith("whsec_")
    assert (said.json["owner"], said.json["event_types"]) == ("shop", ["campaign.held", "campaign.finished"])
    path = said.headers["Location"]
    shown = {name: value for name, value in said.json.items() if name != "secret"}
    assert (await api.get(path)).json == shown
    assert await api.pages("/v1/webhooks", limit=1) == [shown]

    chosen = await api.call("PATCH", path, json={"event_types": ["account.held"]})
    assert (chosen.status, chosen.json) == (200, shown | {"event_types": ["account.held"]})
    disabled = await api.call("PATCH", path, json={"enabled": False})
    assert disabled.json["disabled_reason"] == f"disabled by key {api.key.split('_')[1]}"
    enabled = await api.call("PATCH", path, json={"enabled": True})
    assert enabled.json["disabled_at"] is None

    rotated = await api.post(f"{path}/rotate-secret")
    assert rotated.json["secret"] != said.json["secret"]
    assert rotated.json["previous_secret_until"] is not None
    assert (await api.call("DELETE", path)).json == {"id": said.json["id"]}
    assert is_problem(await api.get(path), 404, "not-found")

    subject = f"webhook/{said.json['id']}"
    acts = ["choose", "disable", "enable", "rotate", "delete"]
    assert await actions(database) == [
        ("webhook.create", "webhook"),
        *((f"webhook.{act}", subject) for act in acts),
    ]
    (audit,) = await query(database, "SELECT string_agg(to_jsonb(a)::text, '') AS all FROM audit a")
    assert said.json["secret"] not in audit["all"]
    assert URL not in audit["all"]


async def test_deliveries_are_listed_replayed_and_recovered(api: Api, database: Database) -> None:
    path = await make(api, event_types=["campaign.accepted"])
    for n in range(3):
        await submit(database, phones(1, first=n), owner="shop")
    await take_all(database, status=500)
    tested = await api.post(f"{path}/test")
    assert tested.status == 202

    listed = await api.pages(f"{path}/deliveries", limit=2)
    assert [each["type"] for each in listed] == ["webhook.test"] + ["campaign.accepted"] * 3
    failed = [each for each in listed if each["attempt"]]
    assert len(failed) == outbox.MOST_IN_FLIGHT_OF_ONE
    told = {(each["status"], each["answer"], each["trouble"]) for each in failed}
    assert told == {(500, "so", "it answered 500")}
    assert await api.pages(f"{path}/deliveries", state="succeeded") == []

    event_id = failed[0]["event_id"]
    replayed = await api.post(f"{path}/deliveries/{event_id}/replay")
    assert (replayed.status, replayed.json) == (202, {"id": path.rpartition("/")[2], "event_id": event_id})
    newest = (await api.get(f"{path}/deliveries")).json["items"][0]
    assert (newest["event_id"], newest["is_replay"]) == (event_id, True)
    assert is_problem(await api.post(f"{path}/deliveries/{uuid4()}/replay"), 404, "not-found")

    await query(database, "UPDATE webhook_delivery SET state = 'given_up', finished_at = now()")
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    recovered = await api.post(f"{path}/recover", {"since": since})
    assert (recovered.status, recovered.json["event_count"]) == (202, 4), "what was given up, no replay"


async def test_an_owner_manages_its_own(api: Api, database: Database, subtests: pytest.Subtests) -> None:
    path = await make(api)
    everybodys = await api.with_key(is_for_all_owners=True)
    for_all = await make(everybodys, all=True)
    clinic = await api.with_key(owner="clinic")
    assert await clinic.pages("/v1/webhooks") == []
    await make(everybodys, owner="clinic")
    listed = await everybodys.pages("/v1/webhooks", limit=1)
    assert [each["owner"] for each in listed] == ["shop", None, "clinic"]
    (of_clinic,) = await clinic.pages("/v1/webhooks")
    assert of_clinic == listed[2]
    before = await query(database, "SELECT * FROM webhook")
    acts: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{uuid4()}/replay", None),
        ("POST", "/recover", {"since": "2026-01-01T00:00:00Z"}),
    ]
    for stranger, theirs in ((clinic, path), (clinic, f"/v1/webhooks/{uuid4()}"), (api, for_all)):
        for method, act, body in acts:
            with subtests.test(f"{method} {act}"):
                said = await stranger.call(method, theirs + act, **({} if body is None else {"json": body}))
                assert is_problem(said, 404, "not-found")
    assert await query(database, "SELECT * FROM webhook") == before
    assert {action for action, _ in await actions(database)} == {"webhook.create"}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"url": "http://93.184.216.34/hook"}, "/body/url"),
        ({"url": "https://127.0.0.1/hook"}, "/body/url"),
        ({"url": "https://[::ffff:10.0.0.1]/hook"}, "/body/url"),
        ({"url": "https://localhost/hook"}, "/body/url"),
        ({"url": "https://a..b/hook"}, "/body/url"),
        ({"url": "https://93.184.216.34:25/"}, "/body/url"),
        ({"event_types": []}, "/body/event_types"),
        ({"event_types": ["webhook.test"]}, "/body/event_types/0"),
        ({"event_types": ["campaign.eaten"]}, "/body/event_types/0"),
        ({"secret": "mine"}, "/body"),
        ({"owner": "No Name"}, "/body/owner"),
        ({"owner": "shop", "all": True}, "/body"),
    ],
)
async def test_what_is_wrong_is_pointed_at(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    said = await api.post("/v1/webhooks", {"url": URL} | wrong)
    assert is_problem(said, 422, "invalid-request")
    assert [each["pointer"] for each in said.json["errors"]] == [pointer]
    assert await query(api.database, "SELECT 1 FROM webhook") == []


async def test_a_webhook_hears_no_more_than_the_key_may_read(api: Api) -> None:
    for more in ({"all": True}, {"owner": "clinic"}):
        assert is_problem(await api.post("/v1/webhooks", {"url": URL} | more), 403, "missing-scope")
    blind = await api.with_key(scopes=["admin"])
    assert is_problem(
        await blind.post("/v1/webhooks", {"url": URL, "with_numbers": True}), 403, "missing-scope"
    )
    narrow = await api.with_key(accounts=["main"])
    assert is_problem(await narrow.post("/v1/webhooks", {"url": URL}), 403, "missing-scope")
    assert is_problem(await narrow.get("/v1/webhooks"), 403, "missing-scope")
    assert await query(api.database, "SELECT 1 FROM webhook") == []
    assert UUID((await make(api, with_numbers=True)).rpartition("/")[2])
    assert EventType.MESSAGE_SETTLED not in (await api.get("/v1/webhooks")).json["items"][0]["event_types"]


async def test_an_owner_has_so_many_webhooks(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WEBHOOKS", 2)
    made = await asyncio.gather(*(api.post("/v1/webhooks", {"url": URL}) for _ in range(4)))
    assert sorted(each.status for each in made) == [201, 201, 409, 409]
    clinic = await api.with_key(owner="clinic")
    assert (await clinic.post("/v1/webhooks", {"url": URL})).status == 201
    await api.call("DELETE", made[[each.status for each in made].index(201)].headers["Location"])
    assert (await api.post("/v1/webhooks", {"url": URL})).status == 201
