"""Who may connect, what answers say of us, and how much of it is logged."""

import asyncio
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.contract.web.conftest import Web
from tests.waiting import until
from worker.web.caller import caller_of
from worker.web.connections import ConnectionLimit


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01 not http\r\n\r\n",  # refused by the parser, before anything of ours
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_no_answer_says_which_software_we_run(web: Web, request_: bytes) -> None:
    answer = (await web.raw(request_)).lower()
    assert answer.startswith(b"http/1.")
    for word in (b"python", b"aiohttp/"):
        assert word not in answer


async def test_many_refusals_are_few_lines_that_count_them(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused() -> int:
        async with web.client.get(f"{web.url}/callbacks/main/strange") as answer:
            return answer.status

    assert {await refused() for _ in range(50)} == {404}
    lines = [record for record in caplog.records if "callback refused" in record.getMessage()]
    assert 1 <= len(lines) < 25

    async def said_again() -> bool:
        await refused()
        said = [record.getMessage() for record in caplog.records if "callback refused" in record.getMessage()]
        return "127.0.0.1" in said[0] and any("'refused_count': 1," not in line for line in said)

    await until(said_again, "a later line says how many there were")


async def test_another_account_s_refusals_are_said_beside(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("main", "silent"):
        async with web.client.get(f"{web.url}/callbacks/{name}/strange"):
            pass
    said = [record.getMessage() for record in caplog.records if "callback refused" in record.getMessage()]
    assert len(said) == 2


async def test_who_says_nothing_is_closed_and_who_waits_for_an_answer_is_not() -> None:
    """With short limits; at its defaults it is run in tests/acceptance/test_web.py."""
    gate = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await gate.wait()
        return web.Response(text="done")

    limit = ConnectionLimit(most=2, head_seconds=0.3)
    application = web.Application(middlewares=[limit.middleware()])
    application.router.add_get("/", slow)
    runner = web.AppRunner(application)
    await runner.setup()
    server = runner.server
    assert server is not None
    listening = await asyncio.get_running_loop().create_server(lambda: limit.protocol(server), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    asking, silent, third = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    try:
        asking[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        silent[1].write(b"GET / HTTP/1.1\r\nHos")  # a head that drips says nothing yet
        async with asyncio.timeout(20):
            assert await third[0].read() == b""  # two are open: closed at once
            assert await silent[0].read() == b""
        gate.set()
        async with asyncio.timeout(20):
            assert (await asking[0].readline()).startswith(b"HTTP/1.1 200")
    finally:
        for _, writer in (asking, silent, third):
            writer.close()
        listening.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("peer", "said", "caller"),
    [
        ("192.0.2.7", "10.9.9.9", "192.0.2.7"),  # no proxy of ours: anybody may write that
        ("10.0.0.2", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.2", "203.0.113.9, 192.0.2.7", "192.0.2.7"),  # what stands before ours is anybody's
        ("10.0.0.2", "192.0.2.7, 10.0.0.1", "192.0.2.7"),  # two of ours, one behind the other
        ("10.0.0.2", "", "10.0.0.2"),
        ("10.0.0.2", "<script>", "unknown"),
        ("::1", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_caller_is_who_a_trusted_proxy_says(peer: str, said: str, caller: str) -> None:
    trusted = [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    headers = {"X-Forwarded-For": said} if said else {}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    assert caller_of(request, trusted) == caller
