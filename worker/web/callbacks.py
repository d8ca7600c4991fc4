"""Callbacks of providers: who may call, what is accepted, and what is answered.

200 means that the receipts are stored durably. Every refusal is one line of plain text, and one line in the
log without anything of the request: its address holds a token, its body may hold a number.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import DatabaseUnavailable, origin_of
from campaigns.domain.metrics import CALLBACKS, UNMETERED, Meter
from campaigns.domain.policy import Account
from campaigns.domain.provider import Callback, CallbackRefused, Receipt
from worker.logs.logger import get_logger
from worker.web.caller import Network, caller_of
from worker.web.connections import LogThrottle
from worker.web.inbox import Inbox, NotStored

log = get_logger("campaigns.web")

MAX_BODY_BYTES = 1024 * 1024
"""A receipt is a few hundred bytes. seven.io can collect those of a minute into one callback, and does not
repeat one that is refused."""

_BODY_SECONDS = 10.0  # no provider sends a body more slowly
_RETRY_AFTER_SECONDS = 5  # told to a provider that is to call again
_SAY_AGAIN_SECONDS = 1.0  # for each account and status one line a second, with the count


MOST_STRANGERS = 20_000
"""Receipts of one account that match no message: above it callbacks are answered 503."""

_COUNT_AGAIN_SECONDS = 5.0  # before the receipts that match no message are counted again

# A callback's address as nearly all are: nothing in its path is escaped, so nothing needs to be decoded.
_PLAIN = re.compile(r"/callbacks/([A-Za-z0-9._~-]+)/([A-Za-z0-9._~-]+)(?:\?[^#]*)?")


async def _none() -> Mapping[str, int]:
    return {}


def _now() -> datetime:
    return datetime.now(UTC)


_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Callbacks:
    """The callbacks of every account of this process.

    Takes the accounts by name (one without `callbacks` accepts none), the inbox for receipts, the clock that
    dates a callback, the networks of proxies whose X-Forwarded-For is believed, a function that counts the
    receipts of each account that match no message, and the meter.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        inbox: Inbox,
        now: Callable[[], datetime] = _now,
        *,
        trusted_proxies: Sequence[Network] = (),
        count: Callable[[], Awaitable[Mapping[str, int]]] = _none,
        meter: Meter = UNMETERED,
    ) -> None:
        self._accounts = accounts
        self._inbox = inbox
        self._now = now
        self._trusted_proxies = trusted_proxies
        self._refused = LogThrottle(_SAY_AGAIN_SECONDS)
        self._count = count
        self._meter = meter
        self._strangers: Mapping[str, int] = {}
        self._counted_at = float("-inf")
        # The token is checked for unknown accounts too: the time of an answer must not tell which ones exist.
        self._nobody = CallbackUrls("nobody", "", token_hex())

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to `router`. Other methods are answered 405."""
        path = "/callbacks/{account}/{token}"
        router.add_get(path, self._take_routed, allow_head=False)
        router.add_post(path, self._take_routed)

    def ahead_of(self, handler: _Handler, hear: Callable[[web.BaseRequest], None]) -> _Handler:
        """What a server calls for each request: takes callbacks, and leaves all others to `handler`.

        An application's search for a route, and its middlewares, take as long as all else that is done for a
        callback. What is unusual of one (its method, an escaped path, `Expect`) goes there all the same, to
        the routes above. Takes `hear`, told of each callback before it is read.
        """

        async def take(request: web.BaseRequest) -> web.StreamResponse:
            plain = _PLAIN.fullmatch(request.raw_path)
            if plain is None or not (
                request.method == "GET" or (request.method == "POST" and hdrs.EXPECT not in request.headers)
            ):
                return await handler(request)
            hear(request)
            return await self._take(request, plain[1], plain[2])

        return take

    async def _take_routed(self, request: web.Request) -> web.Response:
        return await self._take(request, request.match_info["account"], request.match_info["token"])

    async def _take(self, request: web.BaseRequest, name: str, token: str) -> web.Response:
        response = await self._answer(request, name, token)
        if self._meter.is_on:
            self._meter.count(CALLBACKS, 1, self._known(name) or "none", str(response.status))
        return response

    def _known(self, name: str) -> str | None:
        """The account; None for a name that is none of ours: a stranger's text is not told."""
        return name if name in self._accounts else None

    async def _answer(self, request: web.BaseRequest, name: str, token: str) -> web.Response:
        account = self._accounts.get(name)
        urls = account.callbacks if account is not None else None
        resolved = (urls or self._nobody).resolve(token)
        if account is None or urls is None or resolved is None:
            return self._refuse(request, name, 404, "there is nothing at this address")
        try:
            body = await _read(request)
            receipts = account.provider.read_callback(self._callback(request, urls.url_of_token(token), body))
        except CallbackRefused as refused:
            status = refused.status if 400 <= refused.status < 500 else 400
            return self._refuse(request, name, status, str(refused))
        except Exception as error:  # a bug in an adapter: after a 500 the provider tries again later
            log.error("callback not understood", account=name, why=origin_of(error))
            return web.Response(status=500, text="it could not be read\n")
        if resolved.message_ref is not None:
            receipts = [_of(receipt, resolved.message_ref) for receipt in receipts]
        if receipts and await self._has_too_many(name):
            return self._refuse(request, name, 503, "too many receipts of this account match no message")
        try:
            await self._inbox.put([(name, receipt) for receipt in receipts])
        except NotStored as error:
            return self._refuse(request, name, 503, str(error))
        return web.Response()

    async def _has_too_many(self, name: str) -> bool:
        """Whether the account has too many receipts that match no message: anybody who knows its address
        could fill the database. Counted every few seconds; nothing is refused while the database is away.
        """
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= _COUNT_AGAIN_SECONDS:
            self._counted_at = now
            with suppress(DatabaseUnavailable):
                self._strangers = await self._count()
        return self._strangers.get(name, 0) >= MOST_STRANGERS

    def _callback(self, request: web.BaseRequest, url: str, body: bytes) -> Callback:
        _, asked, query = request.raw_path.partition("?")
        return Callback(
            method=request.method,
            # The URL as we gave it to the provider, whatever a proxy made of it: that is what it signed.
            url=f"{url}{asked}{query}",
            headers=request.headers,
            query=_pairs(query),
            body=body,
            received_at=self._now(),
        )

    def _refuse(self, request: web.BaseRequest, name: str, status: int, why: str) -> web.Response:
        known = self._known(name)
        if count := self._refused.count(f"{known} {status}"):
            caller = caller_of(request, self._trusted_proxies)
            log.warning(
                "callback refused", account=known, status=status, why=why, caller=caller, refused_count=count
            )
        headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if status == 503 else None
        return web.Response(status=status, text=f"{' '.join(why.split())}\n", headers=headers)


def _of(receipt: Receipt, message_ref: str) -> Receipt:
    # The address was made for this one message, which proves more than the body does.
    return receipt if receipt.message_ref == message_ref else replace(receipt, message_ref=message_ref)


def _pairs(query: str) -> list[tuple[str, str]]:
    """The fields of a query, in their order."""
    if "%" in query or "+" in query:
        return parse_qsl(query, keep_blank_values=True)
    # The same where nothing is escaped, in a third of the time.
    fields = [field.partition("=") for field in query.split("&") if field]
    return [(field, value) for field, _, value in fields]


async def _read(request: web.BaseRequest) -> bytes:
    """The body. Raises CallbackRefused if it is too long, too slow, or cut off."""
    try:
        if request.content.is_eof():  # it came with the head, or there is none: nothing to wait for
            return await request.read()
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise CallbackRefused(413, f"a callback may hold {MAX_BODY_BYTES} bytes at most") from None
    except TimeoutError:
        raise CallbackRefused(408, f"it did not come whole within {_BODY_SECONDS:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise CallbackRefused(400, "it did not come whole") from None
