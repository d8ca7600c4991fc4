"""A request on its way: key, scope, rate, path, query and headers are looked at before the first byte of the
body is read; then the body, the handler, and the answer.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from aiohttp import hdrs, web
from pydantic import ValidationError

from campaigns import auditing, keys
from campaigns.domain.access import Actor, Scope
from campaigns.domain.errors import (
    CampaignError,
    DatabaseUnavailable,
    NotAllowed,
    NotFound,
    OverAllowance,
    ProviderRefused,
    SchemaMismatch,
    SubmissionKeyConflict,
    WitnessUnavailable,
    origin_of,
)
from campaigns.domain.metrics import HTTP_REQUEST_SECONDS, HTTP_REQUESTS
from campaigns.store.keys import KeyRow
from worker.bootstrap import Parts
from worker.logs.logger import get_logger
from worker.web.api.limits import Limits
from worker.web.api.operations import JSON, Answer, Asked, Call, Caller, Operation, Rate, Shared
from worker.web.api.problems import Kind, Mistake, Refused, mistakes, of_status
from worker.web.caller import Network, caller_of

log = get_logger("campaigns.web")

BODY_SECONDS = 30.0
"""For the body of a request that is read whole; a streamed one has limits of its own."""

_RETRY_AFTER_SECONDS = 5  # told to clients while the database is away
_SCHEME = "bearer "
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer below /v1."""


class Serving:
    """Serves the operations of one process: over HTTP, and to the dashboard, which has no other rules."""

    def __init__(self, parts: Parts, limits: Limits, trusted_proxies: Sequence[Network]) -> None:
        self.parts = parts
        self.limits = limits
        self.shared = Shared()
        self._trusted_proxies = trusted_proxies

    def add(self, router: web.UrlDispatcher, operation: Operation) -> None:
        """Route an operation."""

        meter, clock = self.parts.meter, asyncio.get_running_loop().time

        async def handle(request: web.Request) -> web.StreamResponse:
            began_at, status = clock(), 500
            try:
                response = await self._handle(operation, request)
                status = response.status
            finally:
                meter.count(HTTP_REQUESTS, 1, operation.id, str(status))
                meter.observe(HTTP_REQUEST_SECONDS, clock() - began_at, operation.id)
            return response

        router.add_route(operation.method, _route(operation), handle, expect_handler=_wait_for_us)

    async def _handle(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        try:
            call = await self._call(operation, request)
            given = _parts(operation, request)
            async with operation.admit(call) if operation.admit is not None else nullcontext():
                if operation.body is not None or operation.streams_in:
                    given["body"] = await _body(operation, request)
                answer = await operation.handler(call, **given)
                return _response(answer) if isinstance(answer, Answer) else answer
        except Refused as refused:
            return refused.response()
        except CampaignError as error:
            return refusal_of(operation.id, error).response()

    async def _call(self, operation: Operation, request: web.Request) -> Call:
        """Raises Refused. What is wrong with a key is not told."""
        address = self.address_of(request)
        shown = request.headers.get(hdrs.AUTHORIZATION, "")
        is_bearer = shown[: len(_SCHEME)].lower() == _SCHEME
        key = await self.recognise(shown[len(_SCHEME) :] if is_bearer else "", address, operation.id)
        if key is None:
            raise Refused(Kind.NO_SUCH_KEY, "give a valid key: Authorization: Bearer cmp_…")
        caller = Caller(key, keys.reach_of(key), address)
        await self.look(operation.scope, operation.id, caller)
        self.count(operation.rate, caller)
        return Call(request, self.parts, caller, self.shared, request.headers.get(hdrs.ACCEPT, ""))

    def address_of(self, request: web.Request) -> str:
        """The caller's address, for limits, log and audit."""
        return caller_of(request, self._trusted_proxies)

    async def recognise(self, shown: str, address: str, what: str) -> KeyRow | None:
        """The key that somebody shows; None where it is none. Takes what it is shown for. Raises Refused
        where this address showed too many that were none.
        """
        if seconds := self.limits.guessing_seconds(address):
            raise Refused(
                Kind.TOO_MANY_REQUESTS,
                "too many keys from this address were none",
                retry_after_seconds=seconds,
            )
        key = await keys.recognise(self.parts.database, shown)
        if key is None and shown:
            self.limits.failed(address)
            log.warning("key refused", caller=address, operation=what)
            await self._record(Actor("key", "unknown", address), "key.refused", what)
        return key

    async def look(self, scope: Scope, what: str, caller: Caller) -> None:
        """Raises Refused where the caller's key has not this scope."""
        if scope not in caller.key.scopes:
            log.warning("scope missing", key=caller.key.id, caller=caller.address, operation=what)
            await self._record(caller.actor, "scope.refused", what)
            raise Refused(Kind.MISSING_SCOPE, f"the key lacks the scope {scope}")

    def count(self, rate: Rate, caller: Caller) -> None:
        """Raises Refused where the caller's key asks too often."""
        if seconds := self.limits.take(caller.key.id, rate):
            raise Refused(
                Kind.TOO_MANY_REQUESTS,
                f"a key may do this {rate.per_second:g} times a second",
                retry_after_seconds=seconds,
            )

    async def ask(
        self,
        operation: Operation,
        request: web.Request,
        caller: Caller,
        sent: Mapping[str, Mapping[str, Any]],
        *,
        accept: str = JSON,
    ) -> Answer | web.StreamResponse:
        """What an operation answers to somebody who is known already: by the same handler, after the same
        look at scope and fields.

        Takes by name (`path`, `query`, `headers`, `body`) what a form or an address holds, as text; `accept`:
        the media type that is wanted. Raises Refused. How often somebody reads or changes is not counted: a
        page asks several, and counts as one.
        """
        await self.look(operation.scope, operation.id, caller)
        if operation.rate not in {Rate.READ, Rate.CHANGE}:
            self.count(operation.rate, caller)
        call = Call(request, self.parts, caller, self.shared, accept)
        try:
            given: dict[str, Any] = {"body": None} if operation.body_is_optional else {}
            for name, model in operation.parts().items():
                if model is not None and (name in sent or name not in given):
                    given[name] = _valid(name, model, sent.get(name, {}))
            async with operation.admit(call) if operation.admit is not None else nullcontext():
                return await operation.handler(call, **given)
        except CampaignError as error:
            raise refusal_of(operation.id, error) from None

    async def _record(self, actor: Actor, action: str, what: str) -> None:
        """A refusal in the audit. Of the same key or address one a minute: who was refused is told, and not
        how often. The id of a key that is none is nobody's word, so it is not written down.
        """
        if self.limits.is_to_record(f"{actor.name} {actor.origin} {action}"):
            await auditing.record(self.parts.database, actor, action, f"operation/{what}")


def _route(operation: Operation) -> str:
    """Its path for the router: only what can name something leads to it, and `check` is no campaign's id."""
    path = operation.path
    if operation.path_model is not None:
        for name, schema in operation.path_model.model_json_schema()["properties"].items():
            form = _UUID if schema.get("format") == "uuid" else schema.get("pattern", "")
            if form:
                path = path.replace(f"{{{name}}}", f"{{{name}:{form.removeprefix('^').removesuffix('$')}}}")
    return path


async def _wait_for_us(_request: web.Request) -> None:
    """Not to say `100 Continue` by itself: a client that asks sends nothing before the key was looked at."""


def _parts(operation: Operation, request: web.Request) -> dict[str, Any]:
    """Path, query and headers, validated. Raises Refused: 404 for a path that cannot name anything."""
    given: dict[str, Any] = {}
    if operation.path_model is not None:
        try:
            given["path"] = operation.path_model.model_validate(dict(request.match_info), strict=False)
        except ValidationError:
            raise Refused(Kind.NOT_FOUND) from None
    query: Mapping[str, Any] = {
        name: values[0] if len(values := request.query.getall(name)) == 1 else values
        for name in request.query
    }
    if operation.query is not None:
        given["query"] = _valid("query", operation.query, query)
    elif query:
        raise Refused(Kind.INVALID_REQUEST, None, [Mistake(pointer="/query", detail="this takes no query")])
    if operation.headers is not None:
        known = [field.alias or name for name, field in operation.headers.model_fields.items()]
        sent = {name: request.headers[name] for name in known if name in request.headers}
        given["headers"] = _valid("header", operation.headers, sent)
    return given


def _valid(where: str, model: type[Asked], sent: Mapping[str, Any]) -> Asked:
    try:
        return model.model_validate(sent, strict=False)
    except ValidationError as error:
        found = mistakes(where, error, model)
    raise Refused(Kind.INVALID_REQUEST, None, found)


async def _body(operation: Operation, request: web.Request) -> Asked | None:
    """The body, validated; None where it is a stream: the handler lets it come. Raises Refused."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refused(Kind.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding")
    if not request.body_exists and operation.body_is_optional:
        return None
    has_type = hdrs.CONTENT_TYPE in request.headers
    if has_type and request.content_type in operation.streams_in:
        return None
    taken = [*([JSON] if operation.body is not None else []), *operation.streams_in]
    if operation.body is None or not has_type or request.content_type != JSON:
        raise Refused(Kind.UNSUPPORTED_MEDIA_TYPE, f"this takes: {', '.join(taken)}")
    text = await _read(request, operation.body_bytes)
    try:
        return operation.body.model_validate_json(text)
    except ValidationError as error:
        found = mistakes("body", error, operation.body)
    raise Refused(Kind.INVALID_REQUEST, None, found)


async def _read(request: web.Request, most_bytes: int) -> bytes:
    """A body as a whole. Raises Refused where it is too large, too slow or cut off."""
    if (request.content_length or 0) > most_bytes:
        raise Refused(Kind.TOO_LARGE, f"a body may have {most_bytes} bytes here")
    await go_on(request)
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                found += part
                if len(found) > most_bytes:
                    raise Refused(Kind.TOO_LARGE, f"a body may have {most_bytes} bytes here")
    except TimeoutError:
        raise Refused(Kind.TOO_SLOW, f"the body did not come whole within {BODY_SECONDS:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(Kind.MALFORMED, "the body did not come whole") from None
    return bytes(found)


async def go_on(request: web.Request) -> None:
    """Tell a client that waits for `100 Continue` to send its body now."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # as aiohttp does it: these bytes are not the answer's


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=json.dumps(answer.shape.public()),
        content_type=JSON,
        headers=answer.headers,
    )


def refusal_of(what: str, error: CampaignError) -> Refused:  # noqa: PLR0911  a line an error
    """How an error of campaigns is answered. Takes what was asked for, for the log."""
    match error:
        case NotFound():
            return Refused(Kind.NOT_FOUND)  # no detail: another owner's and none at all look alike
        case NotAllowed():
            return Refused(Kind.NOT_ALLOWED, str(error))
        case SubmissionKeyConflict():
            return Refused(Kind.SUBMISSION_KEY_REUSED, str(error))
        case OverAllowance():
            return Refused(Kind.OVER_ALLOWANCE, str(error), retry_after_seconds=error.retry_after_seconds)
        case ProviderRefused():
            return Refused(Kind.PROVIDER_REFUSED, "see the log of the web for the provider's answer")
        case DatabaseUnavailable() | SchemaMismatch() | WitnessUnavailable():
            log.warning("database away", operation=what, why=origin_of(error))
            return Refused(Kind.DATABASE_AWAY, retry_after_seconds=_RETRY_AFTER_SECONDS)
        case _:  # one sentence about what was sent, which repeats nothing that may be a number or a text
            return Refused(Kind.INVALID_REQUEST, str(error))


Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def answer_problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """For a middleware: what the server itself refuses below /v1, as a problem; and a mistake of ours as a
    500 without a word of the request.
    """
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = of_status(error)
    except Exception as error:  # a bug: logged by its place alone
        log.error("request failed", why=origin_of(error))
        response = Refused(Kind.INTERNAL).response()
    if not response.prepared:
        response.headers.update(HEADERS)
    return response
