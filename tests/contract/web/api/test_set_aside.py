"""What was set aside, over HTTP: listed, done again, forgotten; by a key that sees every owner's."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api, is_problem
from tests.contract.web.api.test_acts import actions
from tests.integration.rows import query
from tests.integration.test_aside_tasks import keep
from worker.broker import aside_tasks
from worker.queues import QUEUE_OF, SUBMIT
from worker.stack.embedded.servers import ServerUrls


async def keep_receipt(database: Database) -> str:
    """A receipt that is set aside. Gives its id."""
    (row,) = await query(
        database,
        "INSERT INTO waiting_receipt (account, provider_message_id, provider_state, set_aside_at,"
        " set_aside_reason) VALUES ('main', '4711', 'deliverd', now(), 'an odd one') RETURNING id",
    )
    return f"receipt:{row['id']}"


async def test_it_is_listed_done_again_and_forgotten(
    api: Api, database: Database, redis: Redis, servers: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybodys = await api.with_key(is_for_all_owners=True, scopes=["operate"])
    assert await everybodys.pages("/v1/aside") == []
    receipt, task = await keep_receipt(database), f"task:{keep(servers, SUBMIT)}"
    listed = await everybodys.pages("/v1/aside", limit=10_000)
    assert [each["id"] for each in listed] == [receipt, task]
    assert (listed[0]["provider_state"], listed[0]["account"], listed[0]["state"]) == (
        "deliverd",
        "main",
        None,
    )
    assert (listed[1]["queue"], listed[1]["task"]) == (QUEUE_OF[SUBMIT], SUBMIT)

    again = await everybodys.post("/v1/aside/retry", {"ids": [task, "task:99", task]})
    assert (again.status, again.json) == (200, {"done": [task], "missing": ["task:99"]})
    assert await redis.llen(QUEUE_OF[SUBMIT]) == 1
    dropped = await everybodys.post("/v1/aside/drop", {"ids": [receipt]})
    assert dropped.json == {"done": [receipt], "missing": []}
    assert await query(database, "SELECT 1 FROM waiting_receipt") == []
    said = [("aside.retry", f"aside/{each}") for each in (task, "task:99")]
    assert await actions(database) == [*said, ("aside.drop", f"aside/{receipt}")]

    wrong: list[tuple[list[object], str]] = [
        ([], "/body/ids"),
        (["batch:7"], "/body/ids/0"),
        (["task:x"], "/body/ids/0"),
        ([7], "/body/ids/0"),
    ]
    for ids, pointer in wrong:
        refused = await everybodys.post("/v1/aside/drop", {"ids": ids})
        assert is_problem(refused, 422, "invalid-request")
        assert [each["pointer"] for each in refused.json["errors"]] == [pointer]

    async def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(aside_tasks, "listed", away)
    assert is_problem(await everybodys.get("/v1/aside"), 503, "database-away")


async def test_it_is_for_keys_that_see_everything(api: Api, database: Database) -> None:
    receipt = await keep_receipt(database)
    keys = [
        api,  # of one owner
        await api.with_key(is_for_all_owners=True, accounts=["main"]),
        await api.with_key(is_for_all_owners=True, scopes=["read", "admin"]),
    ]
    for key in keys:
        for refused in (
            await key.get("/v1/aside"),
            await key.post("/v1/aside/retry", {"ids": [receipt]}),
            await key.post("/v1/aside/drop", {"ids": [receipt]}),
        ):
            assert is_problem(refused, 403, "missing-scope")
    assert len(await query(database, "SELECT 1 FROM waiting_receipt WHERE set_aside_at IS NOT NULL")) == 1
    assert {action for action, _ in await actions(database)} == {"scope.refused"}
