"""A customer's server that takes callbacks, and what the simulator says of those it made."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from campaigns.domain.provider import Callback
from tests.contract.simulator.client import Simulator
from tests.waiting import until


class Hooks:
    """A customer's server: every callback as our web server passes it on, and what to answer (then 200)."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.taken: list[Callback] = []

    async def take(self, request: web.Request) -> web.Response:
        url, body = f"http://{request.host}{request.raw_path}", await request.read()
        self.taken.append(
            Callback(
                request.method,
                url,
                dict(request.headers),
                list(request.query.items()),
                body,
                datetime.now(UTC),
            )
        )
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def came(self, count: int) -> None:
        """Wait until so many callbacks came."""
        await until(lambda: len(self.taken) >= count)


@asynccontextmanager
async def hooked() -> AsyncIterator[Hooks]:
    hooks = Hooks()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", hooks.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hooks.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield hooks
    finally:
        await runner.cleanup()


async def no_callback_waits(simulator: Simulator) -> bool:
    return bool((await simulator.get("/_callbacks")).json()["waiting"] == 0)


async def callback_counts(simulator: Simulator) -> dict[str, int]:
    """The counts that are not zero, when no callback is waiting any more."""
    await until(lambda: no_callback_waits(simulator))
    said = (await simulator.get("/_callbacks")).json()
    return {name: count for name, count in said.items() if count}


async def opened_for(
    open_account: Callable[..., Awaitable[Any]], provider: str, hooks: Hooks, **options: Any
) -> Any:
    """An account whose callbacks can go to `hooks`: by its options where it has one address."""
    if provider in {"seven", "vonage"}:
        options |= {"callback_url": hooks.url + "seven", "reload_lock_seconds": 0}
    return await open_account(provider, **options)
