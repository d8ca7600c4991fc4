"""Keys made, listed and revoked over HTTP: none gives what it does not have itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns import keys
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.rows import query

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
LATER = (datetime.now(UTC) + timedelta(hours=2)).isoformat()


async def test_a_key_is_made_used_listed_and_revoked(api: Api) -> None:
    said = await api.post(
        "/v1/keys", {"scopes": ["read", "admin"], "accounts": ["main"], "expires_at": LATER}
    )
    assert said.status == 201, said.text
    assert (said.json["owner"], said.json["all"], said.json["accounts"]) == ("shop", False, ["main"])
    assert said.headers["Cache-Control"] == "no-store"
    made = Api(api.web, api.database, said.json["key"])
    assert (await made.get("/v1/campaigns")).status == 200

    listed = await api.pages("/v1/keys", limit=1)
    assert [each["id"] for each in listed] == [said.json["id"], api.key.split("_")[1]]
    assert "key" not in listed[0]
    assert listed[0] | {"last_used_at": None} == {n: v for n, v in said.json.items() if n != "key"}

    for _ in range(2):  # a second time changes nothing
        revoked = await api.call("DELETE", f"/v1/keys/{said.json['id']}")
        assert revoked.status == 200
        assert revoked.json["revoked_at"] is not None
    assert is_problem(await made.get("/v1/campaigns"), 401, "no-such-key")
    audited = await query(
        api.database,
        "SELECT action, actor, subject, detail::text AS d FROM audit WHERE action <> 'key.refused'"
        " ORDER BY id OFFSET 1",
    )
    subject = f"key/{said.json['id']}"
    assert [(row["action"], row["subject"]) for row in audited] == [
        ("key.create", subject),
        ("key.revoke", subject),
        ("key.revoke", subject),
    ]
    assert {row["actor"] for row in audited} == {api.key.split("_")[1]}
    assert said.json["key"].split("_")[2] not in "".join(row["d"] for row in audited)


NARROW: dict[str, Any] = {
    "scopes": ["admin", "read"],
    "accounts": ["main"],
    "expires_at": datetime.now(UTC) + timedelta(minutes=90),
}
FITS = {"scopes": ["read"], "accounts": ["main"], "expires_at": SOON}


@pytest.mark.parametrize(
    "more",
    [
        {"scopes": ["read", "submit"]},
        {"owner": "clinic"},
        {"all": True},
        {"accounts": None},
        {"expires_at": LATER},
        {"expires_at": None},
    ],
)
async def test_a_key_gives_nothing_that_it_has_not(api: Api, more: dict[str, Any]) -> None:
    narrow = await api.with_key(**NARROW)
    before = await query(api.database, "SELECT id FROM api_key")
    said = await narrow.post("/v1/keys", FITS | more)
    assert is_problem(said, 403, "missing-scope")
    assert said.json["detail"]
    assert await query(api.database, "SELECT id FROM api_key") == before
    assert (await narrow.post("/v1/keys", FITS)).status == 201


async def test_a_key_that_sees_all_makes_keys_of_any_owner(api: Api) -> None:
    boss = await api.with_key(is_for_all_owners=True)
    made = await boss.post("/v1/keys", {"scopes": ["admin"], "owner": "clinic", "all": True})
    assert (made.status, made.json["owner"], made.json["all"]) == (201, "clinic", True)
    assert {each["owner"] for each in await boss.pages("/v1/keys")} == {"shop", "clinic"}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"scopes": []}, "/body/scopes"),
        ({"scopes": ["everything"]}, "/body/scopes/0"),
        ({"owner": "The Shop"}, "/body/owner"),
        ({"accounts": ["nobody"]}, "/body/accounts/0"),
        ({"expires_at": "tomorrow"}, "/body/expires_at"),
    ],
)
async def test_what_is_wrong_is_pointed_at(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    said = await api.post("/v1/keys", {"scopes": ["read"]} | wrong)
    assert is_problem(said, 422, "invalid-request")
    assert [each["pointer"] for each in said.json["errors"]] == [pointer]


async def test_an_end_that_is_past_is_refused(api: Api) -> None:
    said = await api.post("/v1/keys", {"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"})
    assert is_problem(said, 422, "invalid-request")


async def test_another_owners_key_is_not_there(api: Api) -> None:
    clinic = await api.with_key(owner="clinic")
    for key_id in (api.key.split("_")[1], "aaaaaaaa", "%00"):
        assert is_problem(await clinic.call("DELETE", f"/v1/keys/{key_id}"), 404, "not-found")
    assert [each["owner"] for each in await clinic.pages("/v1/keys")] == ["clinic"]
    assert (await api.get("/v1/keys")).status == 200
    audited = await query(api.database, "SELECT 1 FROM audit WHERE action = 'key.revoke'")
    assert audited == []


async def test_an_owner_has_so_many_valid_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    made = await asyncio.gather(*(api.post("/v1/keys", {"scopes": ["read"]}) for _ in range(3)))
    assert sorted(each.status for each in made) == [201, 409, 409]  # with that of `api`
    (refused, _) = [each for each in made if each.status == 409]
    assert is_problem(refused, 409, "not-allowed")
    (other,) = [each for each in made if each.status == 201]
    await api.call("DELETE", f"/v1/keys/{other.json['id']}")
    assert (await api.post("/v1/keys", {"scopes": ["read"]})).status == 201
