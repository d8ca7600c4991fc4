"""A request passes over the wire at most once, on a connection that is known to be good."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from campaigns.providers.wire import Answered, NeverLeft, Unseen, Wire
from tests.contract.providers.wire_hand_over import QUERY, hand_over, now
from tests.contract.providers.wire_server import Act, WireServer, answer, cut, reset


async def test_an_answer_comes_back_whole(wire: Wire, server: WireServer) -> None:
    server.script.append(answer(b'{"a": 1}', status=418, headers={"X-Word": "said"}))
    result = await hand_over(wire, server, "POST", headers={"X-Key": "k"}, data=b"a=1")
    assert isinstance(result, Answered)
    assert (result.status, result.headers["x-word"], result.body) == (418, "said", b'{"a": 1}')
    (seen,) = server.paid
    assert (seen.method, seen.body, seen.headers["x-key"]) == ("POST", b"a=1", "k")
    assert repr(result) == "Answered(status=418)"  # a body names people


async def test_the_url_goes_out_byte_for_byte(wire: Wire, server: WireServer) -> None:
    server.script.append(answer())
    server.free["/free"] = b""
    await hand_over(wire, server)
    await wire.ask(server.url + QUERY.replace("paid", "free"), timeout_seconds=5)
    assert [seen.target for seen in server.seen] == [QUERY, QUERY.replace("paid", "free")]


# --- at most one pass -------------------------------------------------------------------------------


async def test_aiohttp_resends_a_cut_get_and_our_wire_does_not(wire: Wire, server: WireServer) -> None:
    """Without our guard this is a message sent twice: the server answers, then cuts the kept-alive."""
    server.script.extend([answer(), cut(), answer()])
    async with aiohttp.ClientSession() as plain:
        for _ in range(2):
            async with plain.get(server.url + QUERY) as response:
                await response.read()
    assert len(server.paid) == 3, "aiohttp has changed: it no longer sends a cut GET again"

    server.seen.clear()
    server.script.extend([answer(), cut()])
    assert isinstance(await hand_over(wire, server), Answered)
    assert await hand_over(wire, server) == Unseen("connection cut before the answer was whole")
    assert len(server.paid) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("act", [cut, reset])
async def test_a_cut_request_was_on_the_wire_once(
    wire: Wire, server: WireServer, method: str, act: Callable[[], Act]
) -> None:
    server.script.append(act())
    result = await hand_over(wire, server, method, data=b"x" if method in {"PUT", "POST"} else None)
    assert isinstance(result, Unseen)
    assert len(server.paid) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(wire: Wire, server: WireServer, method: str, status: int) -> None:
    server.script.append(answer(status=status, headers={"Location": "/elsewhere"}))
    result = await hand_over(wire, server, method, data=b"x" if method == "POST" else None)
    assert isinstance(result, Answered)
    assert result.status == status
    assert len(server.seen) == 1


# --- which connection -------------------------------------------------------------------------------


async def test_hand_overs_in_a_row_share_a_connection_and_questions_another(
    wire: Wire, server: WireServer
) -> None:
    server.script.extend([answer(), answer()])
    await hand_over(wire, server)
    await hand_over(wire, server)
    assert server.connections == 1
    server.free["/free"] = b""
    for _ in range(3):
        await wire.ask(f"{server.url}/free", timeout_seconds=5)
    assert server.connections == 2


@pytest.mark.parametrize(("idle_seconds", "connections"), [(0.3, 1), (0.6, 2)])
async def test_what_idled_for_half_a_second_carries_nothing_any_more(
    wire: Wire,
    server: WireServer,
    monkeypatch: pytest.MonkeyPatch,
    idle_seconds: float,
    connections: int,
) -> None:
    server.script.extend([answer(), answer()])
    moment = time.monotonic()
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: moment)
    await hand_over(wire, server)
    moment += idle_seconds
    assert isinstance(await hand_over(wire, server), Answered)
    assert server.connections == connections


@contextmanager
def served_beside(last_words: bytes, *bodies: bytes) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server in a thread of its own: one answer a connection, and no connection after the last. Gives its
    address, and what makes it say its last words on each; without any it closes it.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    asked, said = threading.Event(), threading.Event()
    connections = []

    def serve() -> None:
        for place, body in enumerate(bodies, 1):
            connection, _ = listener.accept()
            connections.append(connection)
            if place == len(bodies):
                listener.close()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            asked.wait(10)
            if last_words:
                connection.sendall(last_words)
            else:
                connection.close()
            said.set()

    def say() -> None:
        asked.set()
        assert said.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{QUERY}", say
    finally:
        asked.set()
        thread.join()
        for each in (listener, *connections):
            each.close()


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"])
@pytest.mark.parametrize("loop_has_looked", [True, False])
async def test_a_connection_that_was_closed_or_spoke_by_itself_carries_nothing_any_more(
    wire: Wire, last_words: bytes, loop_has_looked: bool
) -> None:
    with served_beside(last_words, b"first", b"second") as (url, say_last_words):
        bodies = []
        for _ in range(2):
            result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
            assert isinstance(result, Answered)
            bodies.append(result.body)
            say_last_words()  # our loop stands still meanwhile, as a stopped process does
            for _ in range(3 if loop_has_looked else 0):
                await asyncio.sleep(0)
        assert bodies == [b"first", b"second"]


async def test_refused_after_one_that_was_closed_never_left(wire: Wire) -> None:
    with served_beside(b"", b"only") as (url, say_last_words):
        assert isinstance(await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5), Answered)
        say_last_words()
        result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
        assert result == NeverLeft("connection refused")
