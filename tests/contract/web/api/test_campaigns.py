"""Reading campaigns: pages, filters, and that another owner's do not exist."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns.domain.states import MessageState
from campaigns.store import progress
from campaigns.store.session import Database
from tests.contract.web.api.conftest import SECRET_PHONE, Api, is_problem
from tests.integration.rows import query
from tests.river import phones, submit


async def test_an_owner_sees_its_own(api: Api, ours: UUID, theirs: UUID) -> None:
    (listed,) = await api.pages("/v1/campaigns")
    assert listed["id"] == str(ours)
    assert listed["owner"] == "shop"
    assert listed["totals"]["queued"] == 250

    everybody = await api.with_key(is_for_all_owners=True)
    assert {each["id"] for each in await everybody.pages("/v1/campaigns")} == {str(ours), str(theirs)}
    limited = await api.with_key(accounts=["second"])
    assert await limited.pages("/v1/campaigns") == []
    assert (await limited.get(f"/v1/campaigns/{ours}")).status == 404


async def test_one_campaign(api: Api, ours: UUID) -> None:
    said = await api.get(f"/v1/campaigns/{ours}")
    assert said.status == 200
    assert said.json["name"] == "Spring sale"
    assert said.json["refused"] == {"no_region": 1}
    assert said.headers["Cache-Control"] == "no-store"
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    assert "aiohttp" not in said.headers["Server"]


BELOW = ("", "/progress", "/events", "/reasons", "/batches", "/refused", "/messages", "/export")


async def test_another_owners_is_not_there(api: Api, theirs: UUID, subtests: pytest.Subtests) -> None:
    """The same answer as for an id that nobody has."""
    for below in BELOW:
        with subtests.test(below):
            foreign = await api.get(f"/v1/campaigns/{theirs}{below}")
            nobodys = await api.get(f"/v1/campaigns/{uuid4()}{below}")
            assert is_problem(foreign, 404, "not-found")
            assert foreign.text == nobodys.text
            assert SECRET_PHONE not in foreign.text


async def test_pages_go_through_all_once(api: Api, database: Database) -> None:
    made = [str((await submit(database, phones(1), name=f"Sale {n}", owner="shop")).id) for n in range(7)]
    for limit in (1, 3, 7, 200):
        assert [each["id"] for each in await api.pages("/v1/campaigns", limit=limit)] == made[::-1]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "SPRING"}, 1),
        ({"q": "winter"}, 0),
        ({"state": "accepted"}, 1),
        ({"state": "paused"}, 0),
        ({"account": "main"}, 1),
        ({"account": "second"}, 0),
        ({"owner": "clinic"}, 0),
        ({"created_after": "2020-01-01T00:00:00Z"}, 1),
        ({"created_before": "2020-01-01T00:00:00Z"}, 0),
    ],
)
async def test_filters(api: Api, ours: UUID, theirs: UUID, query: dict[str, Any], count: int) -> None:
    assert len(await api.pages("/v1/campaigns", **query)) == count


async def test_batches_and_refused_rows(api: Api, ours: UUID) -> None:
    batches = await api.pages(f"/v1/campaigns/{ours}/batches", limit=2)
    assert [each["number"] for each in batches] == [1, 2, 3]
    assert sum(each["totals"]["queued"] for each in batches) == 250
    refused = await api.pages(f"/v1/campaigns/{ours}/refused", limit=1)
    assert [(each["row"], each["reason"]) for each in refused] == [(252, "no_region")]
    assert await api.pages(f"/v1/campaigns/{ours}/reasons") == []


async def test_progress_over_time(api: Api, ours: UUID) -> None:
    await query(api.database, "UPDATE campaign SET state = 'running', currency = 'EUR'")
    await progress.note(api.database)
    await query(api.database, "UPDATE campaign_progress SET at = at - interval '10 seconds'")
    await query(api.database, "UPDATE batch SET cost = 0.25 WHERE number = 1")
    await progress.note(api.database)
    first, last = await api.pages(f"/v1/campaigns/{ours}/progress")
    assert first["at"] < last["at"]
    assert set(first["totals"]) == {state.value for state in MessageState}
    assert (first["totals"]["queued"], first["settled_count"]) == (250, 0)
    assert first["cost"] == {"amount": "0.00", "currency": "EUR"}
    assert last["cost"] == {"amount": "0.25", "currency": "EUR"}
