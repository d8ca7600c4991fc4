"""Clients that hold connections: a thousand that say nothing, fifty whose head drips, fifty whose body does.
Others are answered meanwhile, and every one is let go of.
"""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import psutil
import pytest
from redis.asyncio import Redis

from campaigns import keys
from campaigns.domain.access import Actor
from campaigns.store.session import Database
from tests.contract.web.conftest import PUBLIC_URL, URLS, web_of
from tests.waiting import until
from worker.web import server
from worker.web.api import serving
from worker.web.connections import BACKLOG, ConnectionLimit

SILENT, DRIPPING = 1_000, 50
LIMIT_SECONDS = 3.0
"""Instead of ten for a head and thirty for a body."""


@pytest.fixture
def files() -> Iterator[None]:
    """Room for both ends of each connection: they are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * (SILENT + 2 * DRIPPING)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == -1 else min(hard, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def last_byte(reader: asyncio.StreamReader) -> None:
    """Wait until the far side closes, in whatever way."""
    with suppress(ConnectionError):
        await reader.read()


def open_files() -> int:
    return psutil.Process().num_fds()


async def test_readers_and_callbacks_are_answered_while_connections_are_held(
    database: Database, redis: Redis, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ConnectionLimit", partial(ConnectionLimit, head_seconds=LIMIT_SECONDS))
    monkeypatch.setattr(serving, "BODY_SECONDS", LIMIT_SECONDS)
    made = await keys.create(
        database, Actor("operator", "ona", "here"), owner="shop", scopes=["read", "read:recipients"]
    )
    search = (
        f"POST /v1/messages/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {made.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    async with web_of(database, redis) as web:
        host, _, port = web.url.removeprefix("http://").rpartition(":")
        before, memory = open_files(), psutil.Process().memory_info().rss
        held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        ended = 0
        # Beyond the backlog the kernel lets a client believe that it is connected: nobody has that one.
        opening = asyncio.Semaphore(BACKLOG // 4)

        async def hold(begin: str, *, drips: bool) -> None:
            nonlocal ended
            async with opening:
                reader, writer = await asyncio.open_connection(host, int(port))
            held.append((reader, writer))
            writer.write(begin.encode())
            over = asyncio.create_task(last_byte(reader))
            while not over.done():
                await asyncio.wait({over}, timeout=0.2)
                if drips and not over.done():
                    writer.write(b" ")
            ended += 1
            writer.close()

        async def answered() -> float:
            """Seconds that a reader and a callback took."""
            began = time.perf_counter()
            async with web.client.get(
                f"{web.url}/v1/campaigns", headers={"Authorization": f"Bearer {made.key}"}
            ) as answer:
                assert answer.status == 200
            path = web.path(URLS.url_of_account()).replace(PUBLIC_URL, web.url)
            async with web.client.get(f"{path}?id=1&state=sent") as answer:
                assert answer.status == 200
            return time.perf_counter() - began

        kept = await asyncio.open_connection(host, int(port))

        async def called() -> bytes:
            """What a callback on the connection that is kept is answered."""
            path = URLS.url_of_account().removeprefix(PUBLIC_URL)
            kept[1].write(f"GET {path}?id=1&state=sent HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return await kept[0].readuntil(b"\r\n\r\n")

        assert b" 200 " in await called()
        async with asyncio.TaskGroup() as holding:
            for begin, drips, count in (
                ("", False, SILENT),
                ("GET /health HTTP/1.1\r\nX-Drip: ", True, DRIPPING),
                (search, True, DRIPPING),
            ):
                for _ in range(count):
                    holding.create_task(hold(begin, drips=drips))
            await until(lambda: len(held) == SILENT + 2 * DRIPPING, "all are open")
            took = [await answered() for _ in range(5)]
            assert max(took) < LIMIT_SECONDS, f"they waited for those who hold: {took}"
            assert psutil.Process().memory_info().rss - memory < 100 * 2**20, "both ends of 1,100 connections"
            await until(lambda: ended == len(held), "every one is let go of")
        assert b" 200 " in await called(), "who was heard is not closed with the silent"
        kept[1].close()
        await until(lambda: open_files() < before + 20, "their files are closed")
        assert await answered() < LIMIT_SECONDS
