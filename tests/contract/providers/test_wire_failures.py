"""What never left, what left and was not seen, and when to come back."""

import asyncio
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_writer import StreamWriter
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from campaigns.providers.wire import Answered, NeverLeft, Unseen, Wire, retry_after_seconds
from tests.contract.providers.wire_hand_over import QUERY, hand_over, now
from tests.contract.providers.wire_server import (
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
from worker.metrics.process import ProcessMeter

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


async def test_a_second_pass_is_refused_and_counted(wire: Wire, server: WireServer) -> None:
    """aiohttp would send a GET again whose kept connection was cut; and what came back is counted."""
    meter = ProcessMeter()
    own = wire.of("seven", meter)
    server.script.extend([answer(b"ok"), cut()])
    assert isinstance(await hand_over(own, server), Answered)
    assert isinstance(await hand_over(own, server), Unseen)
    assert (len(server.seen), server.connections) == (2, 1)

    def counted(name: str, **labels: str) -> float | None:
        return meter.registry.get_sample_value(f"campaigns_{name}", {"provider": "seven", **labels})

    assert counted("wire_second_pass_refused_total") == 1
    assert counted("sending_request_seconds_count") == 2
    assert counted("wire_requests_total", kind="hand_over", result="2xx") == 1
    assert counted("wire_requests_total", kind="hand_over", result="unseen") == 1


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
