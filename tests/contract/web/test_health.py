"""`GET /health`: well when the database is there and is the right one; anybody may ask."""

import asyncio

import pytest
from redis.asyncio import Redis

from campaigns.domain.errors import SchemaMismatch
from campaigns.store import schema
from campaigns.store.session import Database
from tests.conftest import open_database
from tests.contract.web.conftest import Web, web_of
from tests.integration.rows import query
from worker.web import health


async def test_all_is_well(web: Web) -> None:
    async with web.client.get(f"{web.url}/health") as answer:
        assert (answer.status, await answer.json()) == (200, {"service": "campaigns", "status": "ok"})
    async with web.client.head(f"{web.url}/health") as answer:
        assert answer.status == 200
    async with web.client.post(f"{web.url}/health") as answer:
        assert answer.status == 405


async def test_without_a_database_it_starts_says_so_and_shows_no_secret(redis: Redis) -> None:
    database = open_database("postgresql://shop:s3cret@127.0.0.1:1/campaigns")
    try:
        async with web_of(database, redis) as web, web.client.get(f"{web.url}/health") as answer:
            assert answer.status == 503
            assert await answer.json() == {"service": "campaigns", "status": "the database is away"}
    finally:
        await database.close()


async def test_another_schema_is_not_well_and_does_not_start(
    database_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_FRESH_SECONDS", 0.0)
    database = open_database(database_url)
    try:
        async with web_of(database, redis) as web:
            await query(database, "UPDATE alembic_version SET version_num = '9999', oldest_code = '9999'")
            async with web.client.get(f"{web.url}/health") as answer:
                assert answer.status == 503
                assert await answer.json() == {
                    "service": "campaigns",
                    "status": "the database has another schema",
                }
        with pytest.raises(SchemaMismatch, match="newer"):
            async with web_of(database, redis):
                raise AssertionError("it was served")
    finally:
        await database.close()


async def test_how_old_the_oldest_receipt_and_the_last_tick_are_changes_no_status(
    web: Web, database: Database
) -> None:
    await query(
        database, "INSERT INTO pulse (kind, name, seen_at) VALUES ('tick', 'tick', now() - interval '94 s')"
    )
    await query(
        database,
        "INSERT INTO waiting_receipt (account, provider_message_id, provider_state, look_at)"
        " VALUES ('main', '1', 'sent', now() - interval '5 min')",
    )

    async with web.client.get(f"{web.url}/health") as answer:
        said = await answer.json()

    assert answer.status == 200
    assert said["status"] == "ok"
    assert 300 <= said["oldest_receipt_seconds"] < 400
    assert 94 <= said["last_tick_seconds"] < 200


async def test_many_who_ask_at_once_cost_one_look(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    check = schema.check

    async def counted(database: object) -> str:
        looks.append(database)
        return await check(database)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(schema, "check", counted)

    async def ask() -> int:
        async with web.client.get(f"{web.url}/health") as answer:
            return answer.status

    assert await asyncio.gather(*(ask() for _ in range(50))) == [200] * 50
    assert len(looks) <= 2
