"""The application, and how it is started and ended.

Beside the providers' own paths it serves, for tests and for people:

    GET /_ledger            the summary; ?full=1 every acceptance, ?counts=1 every number (lines of JSON)
    DELETE /_ledger         forget all of it (money stays spent)
    GET, POST, DELETE /_faults, DELETE /_faults/{id}
    GET /_fates             what becomes of a number
    GET /_callbacks         how many callbacks were made, taken, lost, and are waiting
"""

import asyncio
import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Final, get_args

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.faults import FaultRefused, Faults
from simulator.ledger import Ledger
from simulator.options import Options, ProviderName
from simulator.provider import Provider
from simulator.wire import Wire

_KEEPALIVE_SECONDS = 75.0  # as common servers
_SHUTDOWN_SECONDS = 2.0  # for answers under way; hanging ones end at once
_WIRE = web.AppKey("wire", Wire)
_FAULTS = web.AppKey("faults", Faults)
_LEDGER = web.AppKey("ledger", Ledger)
_CALLBACKS = web.AppKey("callbacks", Callbacks)
_PROVIDER = web.AppKey("provider", Provider)


_PROVIDERS: Final[Mapping[ProviderName, type[Provider]]] = {
    name: import_module(f"simulator.{name}").PROVIDER for name in get_args(ProviderName)
}


def make_application(options: Options) -> web.Application:
    """One simulated account, ready to be served. Serve it with `serve`, which keeps its log clean."""
    application = web.Application()
    wire, faults = Wire(), Faults(options.seed)
    make = _PROVIDERS[options.provider]
    chosen = options.callback_retry_seconds
    pauses = make.retry_seconds if chosen is None else chosen
    callbacks = Callbacks(faults, pauses, options.seed, make.retried_statuses)
    provider = make(options, faults, wire, callbacks)
    application[_WIRE], application[_FAULTS], application[_PROVIDER] = wire, faults, provider
    application[_LEDGER], application[_CALLBACKS] = provider.ledger, callbacks
    provider.add_routes(application.router)
    application.add_routes(
        [
            web.get("/_ledger", _get_ledger, allow_head=False),
            web.delete("/_ledger", _clear_ledger),
            web.get("/_faults", _list_faults, allow_head=False),
            web.post("/_faults", _post_fault),
            web.delete("/_faults", _clear_faults),
            web.delete("/_faults/{id}", _remove_fault),
            web.get("/_fates", _get_fates, allow_head=False),
            web.get("/_callbacks", _get_callbacks, allow_head=False),
        ]
    )
    application.on_shutdown.append(_end)
    return application


async def serve(host: str, port: int, options: Options, ready: Callable[[str], None]) -> None:
    """Serve until cancelled, then end every connection.

    Takes a port (0: any free one) and `ready`, called once with the base URL when it listens. Raises
    OSError when it cannot listen there.
    """
    runner = web.AppRunner(
        make_application(options),
        access_log=None,  # a URL holds numbers and texts
        logger=_clean_logger(),
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        address = runner.addresses[0]
        ready(f"http://[{host}]:{address[1]}" if ":" in host else f"http://{host}:{address[1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def run(host: str, port: int, options: Options) -> None:
    """Serve until SIGINT or SIGTERM, then return. Prints where it listens. Raises OSError, as `serve`."""
    # Its own process and loop, not the worker's: it must share no code with what it tests.
    with asyncio.Runner() as runner:
        runner.run(_serve_until_signal(host, port, options))


async def _serve_until_signal(host: str, port: int, options: Options) -> None:
    loop = asyncio.get_running_loop()
    server = asyncio.create_task(serve(host, port, options, _announce))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await server
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _announce(url: str) -> None:
    sys.stdout.write(f"simulator listening on {url}\n")
    sys.stdout.flush()


class _WithoutContent(logging.Filter):
    """Keeps what was sent out of the log: aiohttp's own errors quote the line they could not read."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            record.msg, record.args = f"a request failed: {type(error).__name__}{where}", None
            record.exc_info = record.exc_text = None
        return True


def _clean_logger() -> logging.Logger:
    logger = logging.getLogger("simulator.http")
    if not any(isinstance(known, _WithoutContent) for known in logger.filters):
        logger.addFilter(_WithoutContent())
    return logger


async def _end(application: web.Application) -> None:
    application[_WIRE].end()
    await application[_CALLBACKS].end()


async def _get_ledger(request: web.Request) -> web.StreamResponse:
    ledger = request.app[_LEDGER]
    if request.query.get("full") == "1":
        return await _stream(request, ledger.full_blocks())
    if request.query.get("counts") == "1":
        return await _stream(request, ledger.count_blocks())
    return web.json_response(ledger.summary())


async def _stream(request: web.Request, blocks: Iterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for block in blocks:
        await response.write(block)
        await asyncio.sleep(0)  # a block at a time: sending goes on between them
    await response.write_eof()
    return response


async def _clear_ledger(request: web.Request) -> web.Response:
    request.app[_LEDGER].clear()
    return web.json_response({})


async def _get_fates(request: web.Request) -> web.Response:
    return web.json_response(request.app[_PROVIDER].fates.as_json())


async def _get_callbacks(request: web.Request) -> web.Response:
    callbacks = request.app[_CALLBACKS]
    return web.json_response({**callbacks.counts, "waiting": callbacks.waiting_count})


async def _list_faults(request: web.Request) -> web.Response:
    return web.json_response({"faults": request.app[_FAULTS].listed()})


async def _post_fault(request: web.Request) -> web.Response:
    try:
        return web.json_response({"id": request.app[_FAULTS].add(await request.read())})
    except FaultRefused as refused:
        return web.json_response({"error": str(refused)}, status=400)


async def _clear_faults(request: web.Request) -> web.Response:
    request.app[_FAULTS].clear()
    return web.json_response({})


async def _remove_fault(request: web.Request) -> web.Response:
    name = request.match_info["id"]
    if not (name.isascii() and name.isdigit() and request.app[_FAULTS].remove(int(name))):
        return web.json_response({"error": "there is no fault of that id"}, status=404)
    return web.json_response({})
