"""Fixtures: the members of the family, a server to speak to, and a wire that ends on this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from campaigns.providers.wire import Wire
from tests.contract.providers.members import MEMBERS, WIRED, Member, WiredMember
from tests.contract.providers.wire_server import WireServer, wire_server


@pytest.fixture(params=MEMBERS, ids=lambda member: member.name)
def member(request: pytest.FixtureRequest) -> Member:
    chosen: Member = request.param
    return chosen


@pytest.fixture(params=WIRED, ids=lambda member: member.name)
def wired(request: pytest.FixtureRequest) -> WiredMember:
    chosen: WiredMember = request.param
    return chosen


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    async with wire_server() as made:
        yield made
    assert not made.unscripted, "a request came that the test did not expect"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Every address spoken to. Nothing leaves this machine: not a packet, not a name."""
    spoken_to: set[str] = set()
    connect = asyncio.SelectorEventLoop.sock_connect
    resolve = socket.getaddrinfo

    async def sock_connect(self: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        spoken_to.add(address[0])
        assert address[0] in {"127.0.0.1", "::1"}, "a test spoke to another machine"
        await connect(self, sock, address)

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        spoken_to.add(host)
        assert host in {"127.0.0.1", "::1", "localhost"}, "a test asked for another machine's name"
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield spoken_to
    assert spoken_to <= {"127.0.0.1", "::1", "localhost"}
