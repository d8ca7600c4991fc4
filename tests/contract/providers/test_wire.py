"""The one place that touches the network: a paid request reaches it at most once, and not too late."""

import asyncio
import shutil
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_writer import StreamWriter
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from campaigns.providers.wire import (
    Answered,
    HandOverResult,
    NeverLeft,
    Unseen,
    Wire,
    retry_after_seconds,
)
from tests.contract.providers.wire_server import (
    Act,
    WireServer,
    answer,
    answer_when,
    cut,
    drip,
    garbage,
    giant,
    half,
    hang,
    reset,
)
from tests.waiting import until

QUERY = "/paid?phone=37061200001&text=Ko%20das,%2B+%c4%8d&api_key=secret"


def now() -> float:
    return asyncio.get_running_loop().time()


async def hand_over(
    wire: Wire, server: WireServer, method: str = "GET", timeout_seconds: float = 5.0, **more: Any
) -> HandOverResult:
    more.setdefault("leave_by", now() + 5)
    return await wire.hand_over(method, server.url + QUERY, timeout_seconds=timeout_seconds, **more)


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


# --- what never left --------------------------------------------------------------------------------


async def test_a_refused_connection_never_left(wire: Wire) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        url = f"http://127.0.0.1:{unused.getsockname()[1]}{QUERY}"
        result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
    assert result == NeverLeft("connection refused")


async def test_a_name_nobody_knows_never_left(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = f"http://sms.invalid{QUERY}"
    result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
    assert result == NeverLeft("the host name was not resolved")


async def test_https_to_a_plain_port_never_left(wire: Wire, server: WireServer) -> None:
    url = server.url.replace("http", "https") + QUERY
    result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
    assert isinstance(result, NeverLeft)
    assert (server.tls_hellos, server.bytes_received) == (1, 0)


@pytest.mark.parametrize(("timeout_seconds", "may_leave_within"), [(0.2, 60), (60, 0.2)])
async def test_a_handshake_that_hangs_never_left(
    wire: Wire, timeout_seconds: float, may_leave_within: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}{QUERY}"
        async with asyncio.timeout(10):
            result = await wire.hand_over(
                "GET", url, timeout_seconds=timeout_seconds, leave_by=now() + may_leave_within
            )
    assert isinstance(result, NeverLeft)


@asynccontextmanager
async def self_signed(folder: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TLS server nobody vouches for: its port, and what it read."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    made = await asyncio.create_subprocess_exec(
        *[openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"],
        *["-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    read: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read.append(await reader.read(65536))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1], read
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_certificate_nobody_vouches_for_never_left(wire: Wire, tmp_path: Path) -> None:
    async with self_signed(tmp_path) as (port, read):
        url = f"https://127.0.0.1:{port}{QUERY}"
        result = await wire.hand_over("GET", url, timeout_seconds=5, leave_by=now() + 5)
        assert result == NeverLeft("TLS was not agreed")
        assert not any(read)


async def test_after_leave_by_nobody_is_even_called(wire: Wire, server: WireServer) -> None:
    result = await hand_over(wire, server, leave_by=now())
    assert result == NeverLeft("the time to leave had passed")
    assert server.connections == 0


def stalling(original: Callable[..., Any], leave_by: float) -> Callable[..., Any]:
    """`original`, and then a process that stands still (swapped out, stopped) until `leave_by` is past."""

    def stalled(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        while time.monotonic() <= leave_by:
            pass
        return result

    return stalled


@pytest.mark.parametrize("data", [None, b"a=1"])
async def test_a_stall_after_connecting_writes_nothing(
    wire: Wire, server: WireServer, monkeypatch: pytest.MonkeyPatch, data: bytes | None
) -> None:
    leave_by = now() + 1  # a busy machine takes a while to connect
    monkeypatch.setattr(
        ResponseHandler, "connection_made", stalling(ResponseHandler.connection_made, leave_by)
    )
    result = await hand_over(wire, server, "POST", data=data, leave_by=leave_by)
    assert result == NeverLeft("the time to leave passed before the first byte")
    await until(lambda: server.connections == 1 and server.open_connections == 0)
    assert (server.bytes_received, server.seen) == (0, [])


async def test_a_stall_between_head_and_body_writes_nothing(
    wire: Wire, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_by = now() + 0.2
    write_headers = StreamWriter.write_headers

    async def stalled(self: StreamWriter, *args: Any) -> None:
        await write_headers(self, *args)
        while now() <= leave_by:
            pass

    monkeypatch.setattr(StreamWriter, "write_headers", stalled)
    result = await hand_over(wire, server, "POST", data=b"a=1", leave_by=leave_by)
    assert result == NeverLeft("the time to leave passed before the first byte")
    await until(lambda: server.connections == 1 and server.open_connections == 0)
    assert server.bytes_received == 0


@pytest.mark.parametrize("data", [None, b"a=1"])
async def test_what_left_in_time_may_be_answered_after_leave_by(
    wire: Wire, server: WireServer, data: bytes | None
) -> None:
    leave_by = now() + 0.2
    server.script.append(answer_when(lambda: now() > leave_by + 0.05, b"late"))
    result = await hand_over(wire, server, "POST", data=data, leave_by=leave_by)
    assert isinstance(result, Answered)
    assert result.body == b"late"


# --- what left and was not seen ---------------------------------------------------------------------

UNSEEN = {
    "hang": (hang(), "no whole answer within 0.3 s"),
    "drip": (drip(b" " * 10_000), "no whole answer within 0.3 s"),
    "cut": (cut(), "connection cut before the answer was whole"),
    "reset": (reset(), "connection cut before the answer was whole"),
    "half": (half(b'{"error": 0}'), "connection cut before the answer was whole"),
    "garbage": (garbage(), "the answer is not HTTP"),
    "giant": (giant(2**30), "the answer is larger than 1048576 bytes"),
}


@pytest.mark.parametrize("name", UNSEEN)
async def test_what_left_and_was_not_answered_whole_is_unseen(
    wire: Wire, server: WireServer, name: str
) -> None:
    act, why = UNSEEN[name]
    server.script.append(act)
    began = now()
    assert await hand_over(wire, server, timeout_seconds=0.3 if name in {"hang", "drip"} else 5) == Unseen(
        why
    )
    assert now() - began < 3
    assert len(server.seen) == 1
    await until(lambda: server.open_connections == 0 or name in {"hang", "drip", "giant"})


async def test_a_body_may_be_as_large_as_allowed_and_no_larger(wire: Wire, server: WireServer) -> None:
    server.script.extend([answer(b"x" * 1000), answer(b"x" * 1001)])
    assert isinstance(await hand_over(wire, server, max_bytes=1000), Answered)
    assert await hand_over(wire, server, max_bytes=1000) == Unseen("the answer is larger than 1000 bytes")


async def test_a_cancelled_hand_over_is_cancelled_and_leaves_no_connection(
    wire: Wire, server: WireServer
) -> None:
    server.script.append(drip(b" " * 1_000_000))
    task = asyncio.create_task(hand_over(wire, server))
    await until(lambda: len(server.seen) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections == 0)


async def test_a_question_may_be_repeated_and_fails_as_a_value(wire: Wire, server: WireServer) -> None:
    server.script.extend([cut(), answer(b"ok"), half(b"body")])
    result = await wire.ask(server.url + QUERY, timeout_seconds=5)
    assert isinstance(result, Answered)
    assert len(server.seen) == 2
    assert isinstance(await wire.ask(server.url + QUERY, timeout_seconds=5), Unseen)


async def test_a_question_to_be_asked_once_is_not_repeated(wire: Wire, server: WireServer) -> None:
    server.script.extend([answer(b"ok"), cut()])
    assert isinstance(await wire.ask(server.url + QUERY, timeout_seconds=5, once=True), Answered)
    result = await wire.ask(server.url + QUERY, timeout_seconds=5, once=True)  # on the connection kept
    assert result == Unseen("connection cut before the answer was whole")
    assert (len(server.seen), server.connections) == (2, 1)


async def test_closing_ends_what_is_in_flight(server: WireServer) -> None:
    wire = Wire()
    server.script.append(hang())
    task = asyncio.create_task(hand_over(wire, server))
    await until(lambda: len(server.seen) == 1)
    await wire.close()
    await wire.close()
    assert isinstance(await task, Unseen)


# --- Retry-After ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 3600.0),
        ("Thu, 28 Nov 2024 16:00:30 GMT", 30.0),
        ("Thu, 28 Nov 2024 15:00:00 GMT", 0.0),
        ("Fri, 28 Nov 2025 16:00:00 GMT", 3600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    answered = Answered(429, CIMultiDict({"retry-after": said}), b"")
    assert retry_after_seconds(answered, 1_732_809_600) == seconds


@given(st.text())
def test_any_retry_after_is_nothing_or_within_an_hour(said: str) -> None:
    seconds = retry_after_seconds(Answered(429, CIMultiDict({"Retry-After": said}), b""), 0)
    assert seconds is None or 0 <= seconds <= 3600
