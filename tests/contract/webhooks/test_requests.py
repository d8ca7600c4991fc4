"""One request to a webhook: signed as others verify, bounded in time and size, never an error."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from aiohttp import web

from tests.contract.webhooks.receiver import Receiver, receiving
from worker.settings.safety import read_networks
from worker.webhooks import signing
from worker.webhooks.requests import Requests

HERE = read_networks("127.0.0.0/8")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_a_signature_verifies_whatever_zone_our_clock_has(receiver: Receiver) -> None:
    requests = Requests(HERE, most=2)
    old, new = signing.new_secret(), signing.new_secret()
    body = '{"name":"Ąžuolas “x”"}'
    for hours in (0, 3, -8):
        moment = datetime.now(UTC).astimezone(timezone(timedelta(hours=hours)))
        await requests.post(receiver.url, body, signing.headers("id", moment, body, [new, old]))
        for secret in (new, old):
            assert receiver.seen[-1].verified(secret) == {"name": "Ąžuolas “x”"}
    await requests.close()


async def test_an_endless_answer_is_cut_and_the_beginning_kept(receiver: Receiver) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Set-Cookie": "a=b"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    application = web.Application()
    application.router.add_post("/", endless)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    requests = Requests(HERE, most=2)
    for _ in range(2):
        attempt = await requests.post(f"http://127.0.0.1:{port}/", "{}", {})
        assert (attempt.status, attempt.answer) == (200, "x" * 1000)
    await requests.post(receiver.url, "{}", {})
    assert "cookie" not in receiver.seen[0].headers
    await requests.close()
    await runner.cleanup()


async def test_who_does_not_answer_in_time_and_who_does_not_speak_http(receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.before = lambda _: gate.wait()  # type: ignore[assignment,return-value]  what it gives is ignored
    requests = Requests(HERE, most=2, total_seconds=0.2)
    attempt = await requests.post(receiver.url, "{}", {})
    assert (attempt.status, attempt.trouble) == (None, "no whole answer in time")
    gate.set()

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/9.9 nonsense\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    attempt = await requests.post(f"http://127.0.0.1:{port}/", "{}", {})
    assert attempt.status is None
    assert str(attempt.trouble).startswith("no whole answer")
    server.close()
    await server.wait_closed()
    attempt = await requests.post(f"http://127.0.0.1:{port}/", "{}", {})
    assert (attempt.status, attempt.trouble) == (None, "no connection")
    await requests.close()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("soon", None), ("9" * 5000, 9_999_999_999)],
)
async def test_what_retry_after_says(receiver: Receiver, said: str, seconds: float | None) -> None:
    receiver.answer = lambda: web.Response(status=503, headers={"Retry-After": said})
    requests = Requests(HERE, most=2)
    attempt = await requests.post(receiver.url, "{}", {})
    await requests.close()
    asked = attempt.retry_after_seconds
    assert (asked if asked is None or asked > 0 else None) == seconds
