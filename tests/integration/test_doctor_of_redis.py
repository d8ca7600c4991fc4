"""What the doctor says of a real Redis that will not do, in its own words."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.folders import passable_folder
from tests.waiting import until
from worker.cli.doctor import broker
from worker.cli.doctor.findings import Status
from worker.stack.embedded.redis import _binary
from worker.stack.embedded.servers import ServerUrls, servers


@pytest.fixture(scope="module")
def own() -> Iterator[ServerUrls]:
    """A Redis that may be spoilt."""
    with (
        passable_folder("campaigns-redis-") as folder,
        servers(folder, want_postgres=False) as urls,
    ):
        yield urls


@pytest.fixture
async def boss(own: ServerUrls) -> AsyncIterator[Redis]:
    client = Redis.from_url(own.redis_client_url)
    yield client
    await client.replicaof("NO", "ONE")
    for name, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction")):
        await client.config_set(name, value)
    await client.acl_setuser(
        "default", reset=True, enabled=True, nopass=True, keys=["*"], categories=["+@all"]
    )
    await client.flushall()
    await client.aclose()


async def said(client: Redis) -> list[tuple[str, str]]:
    return [(each.status.value, each.sentence) for each in await broker.redis(client, "here")]


async def test_one_that_takes_writes_is_well_and_its_release_is_judged(boss: Redis) -> None:
    await boss.rpush("campaigns.tick", "1", "2")

    (first, *remarks) = await said(boss)

    assert first == ("ok", f"Redis {(await boss.info())['redis_version']}, here; 2 in campaigns.tick")
    assert [status for status, _ in remarks] == ["note"]
    assert "known holes" in remarks[0][1]
    assert await boss.keys("campaigns:*") == []


async def test_a_replica_is_told_by_its_own_word(boss: Redis) -> None:
    await boss.replicaof("127.0.0.1", 1)

    ((status, sentence),) = await said(boss)

    assert status == "FAIL"
    assert "You can't write against a read only replica" in sentence
    assert "must lead to the primary" in sentence


async def test_a_full_one_takes_no_write(boss: Redis) -> None:
    await boss.config_set("maxmemory", "1")

    ((status, sentence),) = await said(boss)

    assert status == "FAIL"
    assert "used memory > 'maxmemory'" in sentence
    assert "raise maxmemory" in sentence


async def test_one_that_throws_keys_away_is_remarked(boss: Redis) -> None:
    await boss.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(200):
        await boss.set(f"big:{number}", "x" * 10_000)
    await boss.config_set("maxmemory", str((await boss.info())["used_memory"] - 200_000))

    async def evicted() -> bool:
        await boss.set("one-more", "x")
        return bool((await boss.info())["evicted_keys"])

    await until(evicted, "keys were thrown away")
    found = await said(boss)

    assert found[0][0] == "ok"
    assert any("thrown keys away" in sentence for _, sentence in found)


async def test_a_user_who_may_not_ask_info_is_no_failure(own: ServerUrls, boss: Redis) -> None:
    """The rights docs/operating.md lists are enough."""
    await boss.execute_command(
        "ACL", "SETUSER", "clerk", "reset", "on", "nopass", "resetchannels", "allchannels",
        "~campaigns*", "~unacked*", "~_kombu*", "+@all", "-@admin", "-@dangerous",
    )  # fmt: skip
    clerk = Redis.from_url(own.redis_client_url, username="clerk", password="any")

    found = await said(clerk)

    assert found[0][0] == "ok"
    assert all(status != "FAIL" for status, _ in found)
    assert any("may not ask INFO" in sentence for _, sentence in found)
    await boss.execute_command("ACL", "SETUSER", "clerk", "resetkeys", "~other:*")
    (first, *_) = await said(clerk)
    assert first[0] == "FAIL"
    assert "docs/operating.md" in first[1]
    await clerk.aclose()


async def test_nobody_there_and_a_wrong_user_are_told_apart(own: ServerUrls, boss: Redis) -> None:
    for client, words in (
        (Redis.from_url("redis://127.0.0.1:1/0"), "start it, or mend CAMPAIGNS_REDIS_URL"),
        (
            Redis.from_url(own.redis_client_url, username="nobody", password="x"),
            "mend user and password in CAMPAIGNS_REDIS_URL",
        ),
    ):
        ((status, sentence),) = await said(client)
        assert status == Status.FAIL
        assert words in sentence
        await client.aclose()


async def test_a_cluster_is_refused_by_name(tmp_path: Path, own: ServerUrls) -> None:
    """A Redis that was started as one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = 20_000 + listener.getsockname()[1] % 20_000  # its nodes speak to each other at 10,000 more
    process = await asyncio.create_subprocess_exec(
        str(_binary()), "--port", str(port), "--cluster-enabled", "yes", "--dir", str(tmp_path), "--save", "",
        "--bind", "127.0.0.1",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    client = Redis.from_url(f"redis://127.0.0.1:{port}/0")
    try:

        async def answers() -> bool:
            with suppress(RedisError):
                return bool(await client.ping())
            return False

        await until(answers, "the cluster's one node answers", every=0.05)
        ((status, sentence),) = await said(client)
    finally:
        await client.aclose()
        process.terminate()
        await process.wait()
    assert status == "FAIL"
    assert "it is a cluster" in sentence
