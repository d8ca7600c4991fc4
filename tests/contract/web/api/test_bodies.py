"""Bodies: nothing of one is read before the key was looked at, and its limits are held."""

import asyncio
import gzip
import json

import pytest

from tests.contract.web.api.conftest import Api, is_problem
from worker.web.api import serving
from worker.web.api.operations import JSON_BODY_BYTES

SEARCH = "/v1/messages/search"


async def answered(api: Api, head: str, body: bytes = b"") -> bytes:
    """What is answered to these bytes, until a second passes in silence."""
    host, _, port = api.web.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        await writer.drain()
        async with asyncio.timeout(10):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


def head(key: str, *lines: str) -> str:
    return "\n".join((f"POST {SEARCH} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", *lines))


async def test_who_waits_for_100_continue_is_refused_without_a_body(api: Api) -> None:
    """A gigabyte that was announced is never asked for: not without a key, nor where it is too large."""
    lines = ("Content-Type: application/json", "Content-Length: 1000000000", "Expect: 100-continue")
    for key, status in (("cmp_wrong", b"401"), (api.key, b"413")):
        said = await answered(api, head(key, *lines))
        assert said.startswith(b"HTTP/1.1 " + status)
    small = ("Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue")
    assert (await answered(api, head(api.key, *small))).startswith(b"HTTP/1.1 100 Continue")


async def test_a_body_without_an_end_is_cut_at_its_limit(api: Api) -> None:
    """Chunked, it says no length: it is counted."""

    async def endless() -> None:
        host, _, port = api.web.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        writer.write(head(api.key, *lines).replace("\n", "\r\n").encode() + b"\r\n\r\n")
        sent = 0
        try:
            while sent < 50 * JSON_BODY_BYTES and not reader._buffer:  # type: ignore[attr-defined]
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
                sent += 1024
            said = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
        assert said.startswith(b"HTTP/1.1 413")
        assert sent < 50 * JSON_BODY_BYTES

    async with asyncio.timeout(20):
        await endless()


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.2)
    lines = ("Content-Type: application/json", "Content-Length: 100")
    said = await answered(api, head(api.key, *lines), b"{")
    assert said.startswith(b"HTTP/1.1 408")


async def test_only_what_is_taken_is_taken(api: Api) -> None:
    body = json.dumps({"reference": "x"})
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        said = await api.call("POST", SEARCH, data=body, headers=headers)
        assert is_problem(said, 415, "unsupported-media-type")
        assert "application/json" in said.json["detail"]
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    said = await api.call("POST", SEARCH, data=gzip.compress(body.encode()), headers=packed)
    assert is_problem(said, 415, "unsupported-media-type")
    too_large = await api.post(SEARCH, {"reference": "x" * JSON_BODY_BYTES})
    assert is_problem(too_large, 413, "too-large")


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[]", b"", b"null", b'{"reference": "\\ud800"}', b"[" * 50_000]
)
async def test_what_is_no_object_is_a_problem(api: Api, body: bytes) -> None:
    said = await api.call("POST", SEARCH, data=body, headers={"Content-Type": "application/json"})
    assert is_problem(said, 422, "invalid-request")
    assert said.json["errors"][0]["pointer"].startswith("/body")


async def test_another_origin_gets_no_permission(api: Api) -> None:
    """A page in a browser may not read what a key can see: no answer allows it."""
    said = await api.call("GET", "/v1/campaigns", headers={"Origin": "https://evil.test"})
    assert not [name for name in said.headers if name.lower().startswith("access-control")]
    preflight = await api.call("OPTIONS", "/v1/campaigns", headers={"Origin": "https://evil.test"})
    assert is_problem(preflight, 405, "method-not-allowed")
