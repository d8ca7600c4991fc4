"""Watching a campaign by server-sent events, over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import pytest

from campaigns import reading
from tests.conftest import MakeDesk
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.rows import query
from tests.river import flow, phones, submit
from tests.waiting import until
from worker.web import streams
from worker.web.api import events


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.05)


@dataclass
class Stream:
    """One client: its answer, read event by event."""

    response: aiohttp.ClientResponse

    async def part(self) -> dict[str, str] | None:
        """The next event or comment (which is empty); None: the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            while line := await self.response.content.readline():
                if line == b"\n":
                    return fields
                name, _, value = line.decode().rstrip("\n").partition(": ")
                fields |= {name: value} if name else {}
        return None

    async def event(self) -> tuple[str, str, dict[str, Any]] | None:
        """The next event: its name, its id, what it holds."""
        while (fields := await self.part()) is not None:
            if "event" in fields:
                data: dict[str, Any] = await _read(fields["data"])
                return fields["event"], fields["id"], data
        return None

    async def hear(self, state: str) -> str:
        """Read until the campaign has this state. Gives the event's id."""
        while (found := await self.event()) is not None:
            if found[2]["state"] == state:
                return found[1]
        raise AssertionError(f"the stream ended before the campaign was {state}")


async def _read(text: str) -> Any:
    return aiohttp.payload.json.loads(text)


@asynccontextmanager
async def watching(
    api: Api, campaign_id: UUID, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """A client that watches, on a connection of its own."""
    url = f"{api.web.url}/v1/campaigns/{campaign_id}/events"
    with_key = {"Authorization": f"Bearer {api.key}"} | dict(headers or {})
    async with aiohttp.ClientSession() as session, session.get(url, headers=with_key) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


async def test_every_change_is_told_until_the_end(api: Api, make_desk: MakeDesk) -> None:
    ours = (await submit(api.database, phones(3), owner="shop")).id
    path = f"/v1/campaigns/{ours}"
    async with watching(api, ours) as stream:
        assert await stream.part() == {"retry": "3000"}
        named = await stream.event()
        assert named is not None
        assert named[0] == "status"
        assert named[2] == (await api.get(path)).json, "the same object"
        await api.post(f"{path}/pause")
        await stream.hear("paused")
        await api.post(f"{path}/resume")
        await stream.hear("running")
        await flow(api.database, make_desk(), ours)
        while (last := await stream.event()) is not None and last[0] != "end":
            assert last[2]["finished_at"] is None
        assert last is not None
        assert last[2] == (await api.get(path)).json
        assert await stream.part() is None, "nothing comes after it"

    async with watching(api, ours) as stream:
        assert await stream.event() == last, "one who comes later is told the end at once"
        assert await stream.part() is None
    seen = await api.call("GET", f"{path}/events", headers={"Last-Event-ID": last[1]})
    assert (seen.status, seen.text) == (204, ""), "by this an EventSource does not come again"
    async with watching(api, ours, {"Last-Event-ID": "of before"}) as stream:
        assert await stream.event() == last


async def test_one_that_comes_again_is_told_only_what_it_has_not_seen(
    api: Api, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    async with watching(api, ours) as stream:
        seen = await stream.hear("accepted")
        assert await stream.part() == {}, "a comment says that the stream lives"
    async with watching(api, ours, {"Last-Event-ID": seen}) as stream:
        assert await stream.part() == {"retry": "3000"}
        assert [await stream.part() for _ in range(3)] == [{}] * 3
        await api.post(f"/v1/campaigns/{ours}/pause")
        await stream.hear("paused")


async def test_a_stream_ends_when_its_key_is_to_be_looked_at_again(
    api: Api, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(events, "LONGEST_SECONDS", 0.2)
    async with watching(api, ours) as stream:
        await stream.hear("accepted")
        assert await stream.event() is None


async def test_fifty_clients_cost_one_query_at_a_time(
    api: Api, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty who hear of each change, of one look for all of them."""
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.25)
    looks, status = [0], reading.status

    async def counted(*given: Any, **more: Any) -> Any:
        looks[0] += 1
        return await status(*given, **more)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(watching(api, ours)) for _ in range(50)]
        await asyncio.gather(*(each.hear("accepted") for each in clients))
        monkeypatch.setattr(events.reading, "status", counted)
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        for state in ("paused", "running", "paused"):
            looked = looks[0]
            await query(api.database, "UPDATE campaign SET state = $1 WHERE id = $2", state, ours)
            await asyncio.gather(*(each.hear(state) for each in clients))
            assert 1 <= looks[0] - looked <= 3, "one may begin before the change, one while it is heard of"
        assert looks[0] <= (loop.time() - began_at) / 0.25 + 1


async def test_a_client_that_does_not_read_is_dropped_and_costs_the_others_nothing(
    api: Api, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is all the room there is, beside one that reads; that one hears of every change meanwhile."""
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(streams, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)
    status, looks = reading.status, iter(range(1_000_000))

    async def changing(*given: Any, **more: Any) -> Any:
        overview = await status(*given, **more)
        object.__setattr__(overview, "name", f"{next(looks)} {'x' * 10_000}")
        return overview

    monkeypatch.setattr(events.reading, "status", changing)
    address = urlsplit(api.web.url)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((address.hostname, address.port))
    head = (f"GET /v1/campaigns/{ours}/events HTTP/1.1", f"Host: {address.netloc}")
    deaf.sendall("\r\n".join((*head, f"Authorization: Bearer {api.key}", "", "")).encode())
    deaf.setblocking(False)
    try:
        assert (await asyncio.get_running_loop().sock_recv(deaf, 15)) == b"HTTP/1.1 200 OK"
        async with watching(api, ours) as stream:

            async def listen() -> None:
                while await stream.event() is not None:
                    heard.append(asyncio.get_running_loop().time())

            heard: list[float] = []
            listening = asyncio.create_task(listen())
            path = f"/v1/campaigns/{ours}/events"

            said = await api.get(path)
            assert is_problem(said, 503, "busy")
            assert int(said.headers["Retry-After"]) > 0

            async def has_room() -> bool:
                with_key = {"Authorization": f"Bearer {api.key}"}
                async with api.web.client.get(api.web.url + path, headers=with_key) as response:
                    return response.status == 200

            await until(has_room, "the deaf one is dropped", seconds=30)
            count = len(heard)
            await until(_at_least(heard, count + 10), "the other goes on")
            assert max(later - earlier for earlier, later in pairwise(heard)) < 2
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
    finally:
        deaf.close()


def _at_least(heard: list[float], count: int) -> Any:
    async def look() -> bool:
        return len(heard) >= count

    return look


async def test_a_key_holds_so_many_streams_at_once(
    api: Api, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS_OF_A_KEY", 1)
    other = await api.with_key()
    async with watching(api, ours):
        said = await api.get(f"/v1/campaigns/{ours}/events")
        assert is_problem(said, 429, "too-many-requests")
        assert int(said.headers["Retry-After"]) > 0
        async with watching(other, ours) as stream:
            await stream.hear("accepted")


async def test_streams_end_when_the_server_does(api: Api, ours: UUID) -> None:
    """Without `end`: they come again, and find another process."""
    async with watching(api, ours) as stream:
        await stream.hear("accepted")
        async with asyncio.timeout(5):
            await api.web.end()
        assert await stream.event() is None
