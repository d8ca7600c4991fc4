"""How an answer, or the lack of one, reaches the client. Shared by every simulated provider.

Cutting is done on the transport, never by raising: an exception would make the server answer 500.
What is accepted is accepted at once, before any waiting, so the ledger never depends on whether the
client was still there.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import responses
from weakref import WeakSet

from aiohttp import web

from simulator.faults import (
    BEFORE,
    Code18Fault,
    CodeFault,
    CutFault,
    Drawn,
    DripFault,
    HangFault,
    KeepaliveCutFault,
    LatencyFault,
    NonsenseFault,
    RedirectFault,
    StatusFault,
)

_LOOK_SECONDS = 0.05  # how often a waiting answer looks whether the client left or the server ends
_NONSENSE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider would say."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200

    @classmethod
    def of_json(cls, value: object, status: int = 200, *, ensure_ascii: bool = True) -> "Answer":
        """JSON without spaces."""
        body = json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":"))
        return cls(body.encode(), status=status)

    @classmethod
    def of_text(cls, text: str, status: int = 200) -> "Answer":
        """Plain text."""
        return cls(text.encode(), "text/plain", status)


_UNSAID = Answer(b"")  # of a request that was not carried out


class Wire:
    """How one server answers, or fails to."""

    def __init__(self) -> None:
        self._doomed: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._ending = False

    def end(self) -> None:
        """The server ends: whatever waits or hangs ends now."""
        self._ending = True

    def is_doomed(self, request: web.Request) -> bool:
        """Whether an earlier `keepalive_cut` marked this connection."""
        return request.transport is not None and request.transport in self._doomed

    async def exchange(  # noqa: PLR0911  one return for each ending
        self, request: web.Request, drawn: Drawn, work: Callable[[], Answer], latency_seconds: float = 0.0
    ) -> web.StreamResponse:
        """Do the work and answer, as far as `drawn` lets it.

        `work` is called at once, and not at all where an ending comes before acceptance. The two
        endings the provider itself writes (an error code for the whole request) are its work.
        """
        ending = drawn.ending
        if isinstance(ending, CodeFault | Code18Fault):
            ending = None
        answer = _UNSAID if ending is not None and ending.kind in BEFORE else work()
        if latency := drawn.get(LatencyFault):
            latency_seconds += latency.seconds
        if latency_seconds:
            await self._wait(request, latency_seconds)
        match ending:
            case None:
                return await self._answer(request, drawn, answer)
            case StatusFault():
                return _http_error(ending)
            case NonsenseFault():
                return _response(
                    Answer((_NONSENSE if ending.body is None else ending.body).encode(), "text/html")
                )
            case RedirectFault():
                location = request.raw_path if ending.to is None else ending.to
                return web.Response(status=ending.status, headers={"Location": location})
            case HangFault():
                await self._wait(request, ending.seconds)
                return _close(request)
            case CutFault(kind="refuse"):
                return _reset(request)
            case CutFault(kind="cut_half"):
                return await self._half(request, answer)
            case CutFault():
                return _close(request)

    async def _answer(self, request: web.Request, drawn: Drawn, answer: Answer) -> web.StreamResponse:
        """A whole answer: byte by byte, or as the last good one of its connection, where a fault says so."""
        if drawn.get(KeepaliveCutFault) and request.transport is not None:
            self._doomed.add(request.transport)
        if drip := drawn.get(DripFault):
            return await self._drip(request, answer, drip.seconds)
        return _response(answer)

    async def _drip(self, request: web.Request, answer: Answer, seconds: float) -> web.StreamResponse:
        response = await _head(request, answer)
        started = time.monotonic()
        try:
            for sent in range(len(answer.body)):
                await response.write(answer.body[sent : sent + 1])
                await self._wait(
                    request, started + seconds * (sent + 1) / len(answer.body) - time.monotonic()
                )
        except ConnectionError:  # the client left in the middle; what was accepted stays accepted
            return response
        return response

    @staticmethod
    async def _half(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = await _head(request, answer)
        await response.write(answer.body[: len(answer.body) // 2])
        if request.transport is not None:
            request.transport.close()  # what is written still leaves, then the connection ends
        return response

    async def _wait(self, request: web.Request, seconds: float) -> None:
        """Wait so long, or until the client leaves or the server ends."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._ending or request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(min(left, _LOOK_SECONDS))


def _response(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers={"Content-Type": f"{answer.content_type}; charset=utf-8"},
    )


async def _head(request: web.Request, answer: Answer) -> web.StreamResponse:
    """The head with the whole body's length, sent."""
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": f"{answer.content_type}; charset=utf-8"}
    )
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def _http_error(fault: StatusFault) -> web.Response:
    if fault.body is None:
        phrase = responses.get(fault.code, "Error")
        body, content_type = f"<html><body><h1>{fault.code} {phrase}</h1></body></html>", "text/html"
    else:
        body = fault.body
        content_type = "application/json" if body.lstrip()[:1] in ("{", "[") else "text/plain"
    response = _response(Answer(body.encode(), content_type, fault.code))
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _close(request: web.Request) -> web.Response:
    """Close the connection: the client sees its end, and no byte."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # nothing may be left to send: not a byte of it leaves


def _reset(request: web.Request) -> web.Response:
    """Reset the connection."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()  # nothing may be left to send: not a byte of it leaves
