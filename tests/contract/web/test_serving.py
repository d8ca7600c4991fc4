"""What one process serves, and where it refuses to."""

import pytest
from redis.asyncio import Redis

from campaigns import keys
from campaigns.domain.access import Actor
from campaigns.domain.errors import CampaignError
from campaigns.store.session import Database
from tests.contract.web.conftest import PUBLIC_URL, SECRET, Web, web_of
from tests.integration.rows import query
from worker.web.server import Part

EVERYWHERE = "0.0.0.0"  # noqa: S104  what is tested is that it is refused


async def status(web: Web, path: str) -> int:
    """Of a GET."""
    url = web.url.replace(EVERYWHERE, "127.0.0.1")
    async with web.client.get(url + path) as answer:
        return answer.status


async def test_beyond_this_machine_the_api_needs_a_proxy_and_a_key(database: Database, redis: Redis) -> None:
    with pytest.raises(CampaignError, match="--behind-proxy"):
        async with web_of(database, redis, EVERYWHERE):
            raise AssertionError("it was served")
    with pytest.raises(CampaignError, match="campaigns key create"):
        async with web_of(database, redis, EVERYWHERE, is_behind_proxy=True):
            raise AssertionError("it was served")
    operator = Actor("operator", "ona", "here")
    made = await keys.create(database, operator, owner="shop", scopes=["read"])
    async with web_of(database, redis, EVERYWHERE, is_behind_proxy=True) as web:
        assert await status(web, "/v1/campaigns") == 401
    await keys.revoke(database, operator, made.row.id)
    with pytest.raises(CampaignError, match="campaigns key create"):
        async with web_of(database, redis, EVERYWHERE, is_behind_proxy=True):
            raise AssertionError("it was served")


async def test_callbacks_alone_are_all_that_is_there(database: Database, redis: Redis) -> None:
    """On the public port every other path is the same 404; it needs no key and no word of a proxy."""
    async with web_of(database, redis, EVERYWHERE, served=frozenset({Part.CALLBACKS})) as web:
        assert await status(web, "/health") == 200
        assert await status(web, "/callbacks/main/wrong") == 404
        bodies = set()
        for path in ("/v1/campaigns", "/openapi.json", "/nothing"):
            async with web.client.get(web.url.replace(EVERYWHERE, "127.0.0.1") + path) as answer:
                bodies.add((answer.status, await answer.text()))
        assert len(bodies) == 1
        assert bodies.pop()[0] == 404


async def test_the_api_alone_takes_no_callback(database: Database, redis: Redis) -> None:
    async with web_of(database, redis, served=frozenset({Part.API})) as web:
        assert await status(web, "/v1/campaigns") == 401
        assert await status(web, "/openapi.json") == 200
        async with web.client.get(web.url + "/callbacks/main/x") as answer:
            assert (answer.status, await answer.text()) == (404, "404: Not Found")


async def test_livez_asks_nobody_and_readyz_says_what_is_missing(
    database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.web.health._FRESH_SECONDS", 0.0)
    async with web_of(database, redis) as web:

        async def ready() -> tuple[int, dict[str, str]]:
            async with web.client.get(web.url + "/readyz") as answer:
                return answer.status, (await answer.json())["checks"]

        assert await ready() == (503, {"database": "ok", "redis": "ok", "tick": "no tick was seen"})
        await query(database, "INSERT INTO pulse (kind, name) VALUES ('tick', 'tick')")
        assert await ready() == (200, {"database": "ok", "redis": "ok", "tick": "ok"})
        await query(database, "UPDATE pulse SET seen_at = now() - interval '5 minutes'")
        code, checks = await ready()
        assert (code, checks["tick"].partition(" was ")[0]) == (503, "the last tick")
        assert await status(web, "/health") == 200, "a supervisor restarts nothing because of it"

    async with Redis(host="127.0.0.1", port=1) as away, web_of(database, away) as web:
        async with web.client.get(web.url + "/readyz") as answer:
            assert (answer.status, (await answer.json())["checks"]["redis"]) == (503, "Redis is away")
        assert await status(web, "/livez") == 200


async def test_a_name_that_is_not_ours_is_misdirected(
    database: Database, redis: Redis, subtests: pytest.Subtests
) -> None:
    """A page whose own name leads here (DNS rebinding) gets nothing of the API, nor its document."""

    async def asked(web: Web, host: str | None, path: str = "/openapi.json") -> int:
        head = f"GET {path} HTTP/1.1\r\nConnection: close\r\n" + (f"Host: {host}\r\n" if host else "")
        return int((await web.raw(f"{head}\r\n".encode())).split()[1])

    ours = ("localhost:8026", "127.0.0.1", "[::1]:8026", "10.0.0.7:80", "SMS.shop.test.", "api.shop.test:443")
    others = ("evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "[::1", "x@localhost", "", None)
    settings = {"api_hosts": "api.shop.test", "public_url": PUBLIC_URL, "callback_secret": SECRET}
    async with web_of(database, redis, settings=settings) as web:
        for host in ours:
            with subtests.test(host):
                assert await asked(web, host) == 200
        for strange in others:
            with subtests.test(strange or "none"):
                assert await asked(web, strange) in {421, 400}
        for path in ("/v1/campaigns", "/v1/nothing", "/", "/docs", "/HEALTH"):
            with subtests.test(path):
                assert await asked(web, "evil.test", path) == 421
        for path, status_ in (("/health", 200), ("/livez", 200), ("/callbacks/main/wrong", 404)):
            assert await asked(web, "whatever.test", path) == status_, "probes and providers ask as they like"
        async with web.client.get(web.url + "/v1/campaigns", headers={"Host": "evil.test"}) as answer:
            assert answer.status == 421
            assert answer.headers["Cache-Control"] == "no-store"
            assert (await answer.json(content_type=None))["type"] == "/problems/misdirected"
    async with web_of(database, redis, is_behind_proxy=True) as web:
        assert await asked(web, "any.test") == 200, "its proxy knows the names"
    async with web_of(database, redis, is_behind_proxy=True, settings=settings) as web:
        assert (await asked(web, "any.test"), await asked(web, "api.shop.test")) == (421, 200)
