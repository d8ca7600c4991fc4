"""The one place that touches the network.

    hand_over   paid: at most one pass on the wire, and not after `leave_by`
    ask         free: may be repeated

Each rides a connection on which its like was answered a moment ago and nothing came since, else a fresh one.

Both give a value and never an error. Which value a hand-over gives is decided by how far the request
came, never by the kind of exception: `NeverLeft` only where there was no connection, or where we ourselves
held the request back before its first byte.

aiohttp (read in 3.14.5) does three things a paid request must not meet. `client.py`, `_request`: a GET,
HEAD, PUT or DELETE whose connection is cut is sent again, also on a fresh connection and with
`force_close`; a 307 or 308 is followed by sending again. `connector.py`, `connect`: a trace callback that
raises in `on_connection_create_end` leaves the new socket open, so we hold back one step later, in
`on_request_headers_sent`, which in spite of its name runs before the first byte and closes cleanly.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from copy import copy
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
from yarl import URL

from campaigns.domain.errors import origin_of
from campaigns.domain.metrics import (
    POLLING_REQUEST_SECONDS,
    SECOND_PASS_REFUSED,
    SENDING_REQUEST_SECONDS,
    UNMETERED,
    WIRE_REQUESTS,
    Meter,
    Metric,
)
from campaigns.domain.tracing import UNTRACED, Attribute, Tracer, Work
from campaigns.providers.connector import Connector

MAX_ANSWER_BYTES = 1024 * 1024
"""No provider's answer for 100 messages comes near it (LightSMS: about 12 kB)."""

_LONGEST_WAIT_SECONDS = 3600.0  # a Retry-After beyond this is taken as this: we would rather ask again

# `_send` has a deadline of its own, around all of it.
_NO_SECOND_CLOCK = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class NeverLeft:
    """Proven that not one byte of the request was written."""

    why: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """The request may have left; no whole answer came back."""

    why: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer, whatever its status. The body may hold phone numbers and is never shown."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names match in any case
    body: bytes = field(repr=False)


HandOverResult = NeverLeft | Unseen | Answered


class _SecondPass(Exception):
    """aiohttp was about to send a paid request again."""


class _HeldBack(Exception):
    """`leave_by` passed before the first byte."""


class _TooLarge(Exception):
    """The answer is larger than we are willing to hold."""


@dataclass(slots=True)
class _Journey:
    """How far one request came."""

    leave_by: float
    ends_at: float
    has_body: bool
    deadline: asyncio.Timeout
    begun: bool = False
    connected: bool = False  # the connection it is to ride stands: from here on it may have left
    released: bool = False  # let go; the next thing aiohttp does is to write
    held_back: bool = False

    async def only_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self.begun:
            raise _SecondPass
        self.begun = True
        return await handler(request)

    def release(self) -> None:
        """Let the first byte go, or hold it back when too late. Until now the deadline was `leave_by`."""
        if self.released:
            return
        if asyncio.get_running_loop().time() >= self.leave_by or self.deadline.expired():
            self.held_back = True
            raise _HeldBack
        if self.leave_by < self.ends_at:
            self.deadline.reschedule(self.ends_at)
        self.released = True


def _tracing() -> aiohttp.TraceConfig:
    def journey_of(context: SimpleNamespace) -> _Journey:
        journey = context.trace_request_ctx
        assert isinstance(journey, _Journey)  # noqa: S101  both methods below pass one; this tells mypy
        return journey

    async def connected(_session: object, context: SimpleNamespace, _event: object) -> None:
        journey_of(context).connected = True

    async def before_headers(_session: object, context: SimpleNamespace, _event: object) -> None:
        journey = journey_of(context)
        journey.connected = True
        # Headers wait in a buffer for the first piece of a body, which on Python 3.11 comes one turn
        # of the loop later; without a body they are written before anything else can run.
        if not journey.has_body:
            journey.release()

    async def before_body(_session: object, context: SimpleNamespace, _event: object) -> None:
        journey_of(context).release()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    tracing.on_request_headers_sent.append(before_headers)
    tracing.on_request_chunk_sent.append(before_body)
    return tracing


class Wire:
    """Two HTTP sessions, one for what costs money and one for questions, so that no message rides a
    connection which a question left behind. One per process.

    Made inside a running loop and bound to it; any number of tasks may use it at once, and nothing
    queues in it: how much is in flight is the caller's to bound. No cookies, no proxy, no redirects.
    """

    def __init__(self) -> None:
        self._paid = self._session()
        self._free = self._session()
        self._provider = ""
        self._meter = UNMETERED
        self._tracer = UNTRACED

    def of(self, provider: str, meter: Meter, tracer: Tracer = UNTRACED) -> Self:
        """The same wire, its requests counted and traced under a provider's name. The whole is closed, not
        this.
        """
        own = copy(self)
        own._provider, own._meter, own._tracer = provider, meter, tracer
        return own

    @staticmethod
    def _session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "campaigns", "Accept-Encoding": "identity"},
            trace_configs=[_tracing()],
        )

    async def close(self) -> None:
        """Close both sessions. Requests in flight end as `Unseen`. Idempotent."""
        await self._paid.close()
        await self._free.close()

    async def hand_over(
        self,
        method: str,
        url: str,
        *,
        timeout_seconds: float,
        leave_by: float,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HandOverResult:
        """Send one paid request.

        Takes `url` already encoded: it goes out byte for byte, as it was signed. `timeout_seconds`
        from connecting to the last byte of the answer. `leave_by`: a moment of the loop's clock after
        which nothing is written any more. `max_bytes`: a longer answer counts as unseen.
        Gives a value. Raises nothing but cancellation; a cancelled hand-over may have left.
        Promises: at most one pass on the wire, whatever the method and whatever the answer. No `why`
        holds any part of the URL, the headers or the data.
        """
        sending = self._send(
            self._paid,
            method,
            url,
            timeout_seconds,
            leave_by,
            headers=headers,
            data=data,
            max_bytes=max_bytes,
            once=True,
        )
        return await self._measured(Work.HAND_OVER, SENDING_REQUEST_SECONDS, sending)

    async def ask(
        self,
        url: str,
        *,
        timeout_seconds: float,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        once: bool = False,
    ) -> HandOverResult:
        """Send a question that costs nothing: may reach the provider twice, unless `once`.

        Otherwise as `hand_over`.
        """
        sending = self._send(
            self._free,
            method,
            url,
            timeout_seconds,
            None,
            headers=headers,
            data=data,
            max_bytes=max_bytes,
            once=once,
        )
        return await self._measured(Work.QUESTION, POLLING_REQUEST_SECONDS, sending)

    async def _measured(
        self, kind: Work, seconds: Metric, sending: Coroutine[Any, Any, HandOverResult]
    ) -> HandOverResult:
        """Send, and count and trace it where anybody reads that."""
        if not (self._meter.is_on or self._tracer.is_on):
            return await sending
        clock = asyncio.get_running_loop().time
        began_at = clock()
        with self._tracer.span(kind, {Attribute.PROVIDER: self._provider}) as span:
            result = await sending
            name = _result_name(result)
            status = result.status if isinstance(result, Answered) else None
            span.note({Attribute.RESULT: name, Attribute.STATUS: status})
            if status is None:
                span.fail(name)
        self._meter.observe(seconds, clock() - began_at, self._provider)
        self._meter.count(WIRE_REQUESTS, 1, self._provider, kind, name)
        return result

    async def _send(  # noqa: PLR0913  the two doors above share it
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        timeout_seconds: float,
        leave_by: float | None,
        *,
        headers: Mapping[str, str] | None,
        data: bytes | None,
        max_bytes: int,
        once: bool,
    ) -> HandOverResult:
        now = asyncio.get_running_loop().time()
        ends_at = now + timeout_seconds
        last = ends_at if leave_by is None else leave_by
        if last <= now:
            return NeverLeft("the time to leave had passed")
        deadline = asyncio.timeout_at(min(last, ends_at))
        journey = _Journey(last, ends_at, bool(data), deadline)
        try:
            async with (
                deadline,
                session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=data or None,
                    allow_redirects=False,
                    timeout=_NO_SECOND_CLOCK,
                    middlewares=(journey.only_once,) if once else (),
                    trace_request_ctx=journey,
                ) as response,
            ):
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > max_bytes:
                        response.close()
                        raise _TooLarge
                return Answered(response.status, response.headers, bytes(body))
        except Exception as error:  # every way to fail is a value; what decides is how far it came
            if isinstance(error, _SecondPass) and session is self._paid:
                self._meter.count(SECOND_PASS_REFUSED, 1, self._provider)
            if journey.held_back:
                return NeverLeft("the time to leave passed before the first byte")
            if not journey.connected:
                return NeverLeft(_why_not_connected(error, timeout_seconds))
            return Unseen(_why_unseen(error, timeout_seconds, max_bytes))


def _result_name(result: HandOverResult) -> str:
    """What became of a request, as a label: the class of its status, or how far it came."""
    match result:
        case NeverLeft():
            return "never_left"
        case Unseen():
            return "unseen"
        case Answered():
            return f"{result.status // 100}xx"


def retry_after_seconds(answer: Answered, now: float) -> float | None:
    """How long an answer asks us to wait: `Retry-After`, as seconds or as a date (RFC 9110, 10.2.3).

    Takes `now`, seconds since the epoch. Gives 0 to 3600, or None where nothing readable is said.
    """
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value[:10])
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)


def _why_not_connected(error: Exception, timeout_seconds: float) -> str:
    # Order matters: the certificate and TLS errors are connector errors too.
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name was not resolved"
        case aiohttp.ClientSSLError():
            return "TLS was not agreed"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "connection refused"
        case TimeoutError():
            return f"no connection within {timeout_seconds:g} s, or before the time to leave"
        case aiohttp.ClientError() | OSError():
            return f"no connection ({type(error).__name__})"
        case _:
            return f"no connection ({origin_of(error)})"


def _why_unseen(error: Exception, timeout_seconds: float, max_bytes: int) -> str:
    match error:
        case TimeoutError():
            return f"no whole answer within {timeout_seconds:g} s"
        case _SecondPass() | aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return "connection cut before the answer was whole"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case _TooLarge():
            return f"the answer is larger than {max_bytes} bytes"
        case aiohttp.ClientError() | OSError():
            return f"failed after connecting ({type(error).__name__})"
        case _:
            return f"failed after connecting ({origin_of(error)})"
