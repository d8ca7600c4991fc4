"""The application, and how it is started and ended."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from aiohttp import web, web_response

from campaigns import keys, receipts
from campaigns.domain.errors import CampaignError, DatabaseUnavailable
from campaigns.domain.metrics import SSE_CLIENTS, SUBMISSIONS_RUNNING
from campaigns.measuring import Measuring
from campaigns.store import schema
from worker import spare_what_is_loaded
from worker.bootstrap import Parts
from worker.logs.logger import get_logger
from worker.metrics import serve as serve_metrics
from worker.settings.safety import is_loopback, read_networks
from worker.web import hosts
from worker.web.api import problems
from worker.web.api import routes as api
from worker.web.api.events import STREAMS
from worker.web.api.submitting import LARGE
from worker.web.callbacks import MAX_BODY_BYTES, Callbacks
from worker.web.connections import BACKLOG, ConnectionLimit, most_connections
from worker.web.health import SERVICE, Health
from worker.web.inbox import Inbox, Write
from worker.web.pages.serving import Dashboard
from worker.web.pages.table import PAGES
from worker.web.streams import Streams
from worker.web.uploads import LargeSubmissions

_KEEPALIVE_SECONDS = 75.0  # the default of common web servers
_SHUTDOWN_SECONDS = 15.0  # for answers under way: longer than a callback waits for the inbox

if TYPE_CHECKING:
    from worker.metrics.truth import Truth

log = get_logger("campaigns.web")

# The versions of Python and aiohttp help only attackers. The parser's own refusals pass no hook of ours, so
# the header is set where every answer takes it from.
web_response.SERVER_SOFTWARE = SERVICE  # type: ignore[attr-defined]  # read there, not exported

MOST_LINE_BYTES = 32_768
"""Of a request's first line: a query may hold the text of a campaign, with twelve bytes for a character."""

_answer_of_aiohttp = web.RequestHandler.handle_error


def _without_quoting(
    handler: web.RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,
) -> web.StreamResponse:
    """What is answered where no request could be read. aiohttp quotes what it could not read, and that may be
    a text or a number.
    """
    _answer_of_aiohttp(handler, request, status, exc, message)  # it logs, and raises where it is too late
    response = problems.answer(problems.Kind.MALFORMED if status < 500 else problems.Kind.INTERNAL)
    response.force_close()
    return response


web.RequestHandler.handle_error = _without_quoting  # type: ignore[method-assign, assignment]  # no hook passes there


class Part(StrEnum):
    """What a process of the web serves. Receipts must not wait for uploads: who has many of both runs two."""

    CALLBACKS = "callbacks"
    API = "api"
    DASHBOARD = "dashboard"


ALL_PARTS = frozenset(Part)
WITH_KEYS = frozenset({Part.API, Part.DASHBOARD})
"""What is served to those who have a key."""


async def serve(
    parts: Parts,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    write: Write | None = None,
    served: frozenset[Part] = ALL_PARTS,
    is_behind_proxy: bool = False,
) -> None:
    """Serve until cancelled; then accept nothing more, answer open requests, store waiting receipts.

    Takes what is served; whether a proxy that speaks https is in front; a port (0: any free one); `ready`,
    called once with the base URL when it listens; `write`, which stores receipts (for tests). Raises
    SchemaMismatch before it listens, CampaignError if it cannot, or must not, listen there. It also starts
    while the database is away: callbacks are then answered 503, and come again.
    """
    try:
        await schema.check(parts.database)
        if served & WITH_KEYS and not is_loopback(host):
            await _refuse_strangers(parts, host, is_behind_proxy=is_behind_proxy)
    except DatabaseUnavailable as away:  # no key is valid while it is away
        log.warning("database away", why=str(away))
    inbox = Inbox(write or (lambda taken: receipts.take_in_many(parts.database, taken)), meter=parts.meter)
    limit = ConnectionLimit(most=most_connections())
    callbacks = _callbacks(parts, inbox) if Part.CALLBACKS in served else None
    runner = web.AppRunner(
        _application(parts, callbacks, limit, served, is_behind_proxy=is_behind_proxy),
        access_log=None,  # an address holds a token
        logger=_quiet_logger(),
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        max_line_size=MOST_LINE_BYTES,
        auto_decompress=False,  # a signature is over the bytes as they came, and a bomb stays small
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101  `setup` made it
    if callbacks is not None:
        server.request_handler = callbacks.ahead_of(server.request_handler, limit.hear)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(limit.on_loop_trouble)
    listening: asyncio.Server | None = None
    end_metrics: Callable[[], None] | None = None
    try:
        end_metrics = serve_metrics(parts.meter, parts.settings, "web", lambda: [_truth(parts, loop)])
        try:
            listening = await loop.create_server(
                lambda: limit.protocol(server), host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as error:
            raise CampaignError(f"the web cannot listen on {host}:{port}: {error.strerror}") from error
        address = listening.sockets[0].getsockname()
        ready(f"http://[{host}]:{address[1]}" if ":" in host else f"http://{host}:{address[1]}")
        await asyncio.Event().wait()
    finally:
        if listening is not None:
            listening.close()
        if end_metrics is not None:
            await asyncio.to_thread(end_metrics)
        await runner.cleanup()
        await inbox.close()


def _truth(parts: Parts, loop: asyncio.AbstractEventLoop) -> "Truth":
    from worker.metrics.truth import Truth  # noqa: PLC0415  loads Prometheus, for who is asked for metrics

    desk = parts.desk
    return Truth(Measuring(parts.database, desk.witness, [*desk.accounts]).samples, loop)


async def _refuse_strangers(parts: Parts, host: str, *, is_behind_proxy: bool) -> None:
    """Raises CampaignError where the API would be open beyond this machine without keys, or in clear."""
    if not is_behind_proxy:
        raise CampaignError(
            f"the API speaks plain http, and on {host} others would read keys and texts on the way: put a "
            "proxy that speaks https in front and say --behind-proxy, or serve callbacks alone: "
            "--serve callbacks"
        )
    if not await keys.any_valid(parts.database):
        raise CampaignError(
            f"there is no valid key, so nobody could use the API on {host}: make one first with: "
            "campaigns key create --help; or serve callbacks alone: --serve callbacks"
        )


async def serve_until_signal(
    parts: Parts,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    served: frozenset[Part] = ALL_PARTS,
    is_behind_proxy: bool = False,
) -> None:
    """Serve as `serve` does, until SIGTERM or SIGINT. A second signal ends it at once."""

    def listening(url: str) -> None:
        ready(url)
        # What is loaded lives as long as the process: looking through all of it holds up every callback for a
        # tenth of a second, once in ten thousand.
        spare_what_is_loaded()

    loop = asyncio.get_running_loop()
    server = asyncio.create_task(
        serve(parts, host, port, listening, served=served, is_behind_proxy=is_behind_proxy)
    )
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, server.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await server
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _callbacks(parts: Parts, inbox: Inbox) -> Callbacks:
    return Callbacks(
        parts.desk.accounts,
        inbox,
        trusted_proxies=read_networks(parts.settings.trusted_proxies or ""),
        count=lambda: receipts.strangers(parts.database),
        meter=parts.meter,
    )


def _application(
    parts: Parts,
    callbacks: Callbacks | None,
    limit: ConnectionLimit,
    served: frozenset[Part],
    *,
    is_behind_proxy: bool,
) -> web.Application:
    middlewares = [limit.middleware()]
    is_for_keys = bool(served & WITH_KEYS)
    if is_for_keys:
        if names := hosts.names_of(parts.settings, is_behind_proxy=is_behind_proxy):
            middlewares.append(hosts.middleware(names))
        serving = api.serving_of(parts)
    if Part.API in served:
        middlewares.append(api.middleware())
    if Part.DASHBOARD in served:
        dashboard = Dashboard(serving, PAGES, is_behind_proxy=is_behind_proxy)
        middlewares.append(dashboard.middleware())
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
    if callbacks is not None:
        callbacks.add_routes(application.router)
    Health(parts).add_routes(application.router)
    if Part.API in served:
        api.add_routes(application.router, serving)
    if Part.DASHBOARD in served:
        dashboard.add_routes(application.router)
    if is_for_keys:
        application[LARGE] = large = LargeSubmissions()
        application[STREAMS] = streams = Streams()
        parts.meter.watch(SSE_CLIENTS, lambda: streams.client_count)
        parts.meter.watch(SUBMISSIONS_RUNNING, lambda: large.running_count)

        async def let_go(_application: web.Application) -> None:
            streams.close()
            serving.shared.close()
            large.give_up()  # a client that stalls would be waited for

        async def end(_application: web.Application) -> None:
            large.close()

        application.on_shutdown.append(let_go)
        application.on_cleanup.append(end)
    return application


class _WithoutContent(logging.Filter):
    """Reduces aiohttp's own errors, which quote what they could not read, to one line without content."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg, record.args = "request failed: %s", (type(error).__name__,)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("campaigns.web.http")
    if not any(isinstance(known, _WithoutContent) for known in logger.filters):
        logger.addFilter(_WithoutContent())
    return logger
