"""A follow-up over HTTP: made once, for its owner, in the audit; of those in doubt only if said."""

import json
from typing import Any
from uuid import UUID

import pytest

from campaigns.domain.following import CONFIRMATION
from campaigns.domain.states import MessageState
from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api, Said, is_problem
from tests.integration.rows import query
from tests.integration.test_following import become, sent_to
from tests.river import phones


async def follow(api: Api, campaign: UUID, key: str | None = None, **body: Any) -> Said:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.call("POST", f"/v1/campaigns/{campaign}/follow-up", json=body, headers=headers)


async def test_it_is_made_once_of_exactly_those(api: Api, ours: UUID, database: Database) -> None:
    await become(database, ours, 2, MessageState.UNDELIVERED)
    await become(database, ours, 3, MessageState.DELIVERED)
    first = await follow(api, ours, "again", states=["not_reached"], text="Once more")

    assert first.status == 201
    assert first.headers["Location"] == f"/v1/campaigns/{first.json['id']}"
    assert (first.json["follow_up_of"], first.json["owner"]) == (str(ours), "shop")
    assert (first.json["name"], first.json["recipient_count"]) == ("Spring sale (follow-up)", 1)
    assert list(await sent_to(database, UUID(first.json["id"]))) == [phones(1)[0]["phone"]]
    for key in ("again", None):
        repeated = await follow(api, ours, key, states=["not_reached"], text="Once more")
        assert (repeated.status, repeated.json) == (200, first.json)
    other = await follow(api, ours, "again", states=["failed"])
    assert is_problem(other, 422, "submission-key-reused")
    listed = (await api.get("/v1/campaigns")).json["items"]
    assert [each["follow_up_of"] for each in listed] == [str(ours), None]
    (audited, *_) = await query(
        database, "SELECT subject, detail::text FROM audit WHERE action = 'campaign.follow_up' ORDER BY id"
    )
    assert audited["subject"] == f"campaign/{ours}"
    assert json.loads(audited["detail"]) == {
        "account": "main",
        "follow_up": first.json["id"],
        "in_doubt": False,
        "states": ["not_reached"],
    }


async def test_those_in_doubt_need_the_sentence(api: Api, ours: UUID, database: Database) -> None:
    await become(database, ours, 2, MessageState.UNKNOWN)
    nobody = await follow(api, ours, states=["not_reached", "never_handed_over"])
    assert is_problem(nobody, 422, "invalid-request")
    assert is_problem(await follow(api, ours, in_doubt="yes"), 422, "invalid-request")
    said = await follow(api, ours, in_doubt=CONFIRMATION)
    assert (said.status, said.json["recipient_count"]) == (201, 1)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({}, "/body"),
        ({"states": []}, "/body"),
        ({"states": ["failed", "delivered"]}, "/body/states/1"),
        ({"states": ["in_doubt"]}, "/body/states/0"),
        ({"states": "failed"}, "/body/states"),
        ({"states": ["failed"], "in_doubt": True}, "/body/in_doubt"),
        ({"states": ["failed"], "text": ""}, "/body/text"),
        ({"states": ["failed"], "phone": "+37060000001"}, "/body"),
    ],
)
async def test_what_is_wrong_is_pointed_at(api: Api, ours: UUID, wrong: Any, pointer: str) -> None:
    said = await follow(api, ours, **wrong)
    assert is_problem(said, 422, "invalid-request")
    assert [each["pointer"] for each in said.json["errors"]] == [pointer]
