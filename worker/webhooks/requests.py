"""One request to a webhook, and what became of it."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http import HttpProcessingError
from yarl import URL

from campaigns.domain.public_addresses import Networks
from campaigns.domain.webhooks import Attempt
from worker.webhooks import guard

TOTAL_SECONDS = 15.0
"""For one request, from the look-up of the name to the end of the answer."""

_MOST_ANSWER_BYTES = 64 * 1024  # read, so that the receiver may finish its answer; the rest is cut off
_KEPT_ANSWER_BYTES = 1000  # of an answer, for people who look why it was not taken
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "campaigns"}


class Requests:
    """Makes requests to webhooks; one a process, made inside the loop that uses it.

    Takes the networks that may be reached besides public addresses, and how many requests may be under way.
    """

    def __init__(
        self,
        allowed: Networks,
        *,
        most: int,
        resolver: AbstractResolver | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._allowed = allowed
        self._total_seconds = total_seconds
        self._most = most
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Attempt:
        """Send a body once. Never raises what the far side can cause: every end is an Attempt.

        No redirect is followed, no proxy of the environment is asked (it would connect for us, where no guard
        stands), no cookie is kept.
        """
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                self._opened().post(
                    URL(url, encoded=True),
                    data=body.encode(),
                    headers={**_HEADERS, **headers},
                    allow_redirects=False,
                ) as response,
            ):
                answer = await _beginning(response)
                return Attempt(
                    response.status,
                    _since(started),
                    answer,
                    retry_after_seconds=_retry_after_seconds(response),
                )
        except _CAUSED_BY_RECEIVERS as error:
            return Attempt(None, _since(started), trouble=_why(error))

    async def close(self) -> None:
        """Close what is open. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=guard.connector(self._allowed, most=self._most, resolver=self._resolver),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # `post` has one around all of it
                trust_env=False,
                auto_decompress=False,
            )
        return self._session


async def _beginning(response: aiohttp.ClientResponse) -> str:
    kept = b""
    read_bytes = 0
    async for piece in response.content.iter_any():
        kept = (kept + piece)[:_KEPT_ANSWER_BYTES]
        read_bytes += len(piece)
        if read_bytes > _MOST_ANSWER_BYTES:
            response.close()
            break
    return kept.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _retry_after_seconds(response: aiohttp.ClientResponse) -> float | None:
    """`Retry-After`, as seconds or as a date (RFC 9110, 10.2.3)."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:10])
    try:
        until = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return (until - datetime.now(UTC)).total_seconds()


# What a receiver can cause: a value each, so that one cannot stop another's deliveries.
_CAUSED_BY_RECEIVERS = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError)

# In this order: certificate and TLS errors are connector errors too. Nothing of the address is said.
_WHY: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not valid"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.InvalidURL, "its address cannot be read"),
    (TimeoutError, "no whole answer in time"),
)


def _why(error: Exception) -> str:
    if isinstance(getattr(error, "os_error", error), guard.NotPublic):
        return "its address is not public"
    said = next((why for kind, why in _WHY if isinstance(error, kind)), None)
    return said or f"no whole answer ({type(error).__name__})"
