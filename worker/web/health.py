"""Whether this process can do its work: whether the database answers and its schema fits.

The ages of the oldest receipt that is due and of the last tick are about the workers, and do not change the
status: a probe that restarted the web because of them would lose callbacks as well.
"""

import asyncio
from typing import Literal

from aiohttp import web

from campaigns import watching
from campaigns.domain.errors import DatabaseUnavailable, SchemaMismatch
from campaigns.store import schema
from campaigns.store.session import Database
from worker import shapes

_PATIENCE_SECONDS = 3.0  # for the database to answer
_FRESH_SECONDS = 1.0  # anybody may ask at any rate: that must not become as many queries

SERVICE: Literal["campaigns"] = "campaigns"
"""By it a caller knows that this /health is ours and not a proxy's."""

_OK = "ok"


class Health:
    """Checks the database at most once a second, and tells every caller the same."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = asyncio.Lock()
        self._status = ""
        self._ages: dict[str, int] = {}
        self._looked_at: float | None = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route to `router`: 200 if callbacks can be stored, else 503 with a fixed sentence."""
        router.add_get("/health", self._tell)

    async def _tell(self, _request: web.Request) -> web.Response:
        now = asyncio.get_running_loop().time
        async with self._looking:
            if self._looked_at is None or now() - self._looked_at >= _FRESH_SECONDS:
                self._ages = {}
                self._status = await self._look()
                self._looked_at = now()
        shape = shapes.Health(service=SERVICE, status=self._status, **self._ages)
        return web.json_response(shape.public(), status=200 if self._status == _OK else 503)

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await schema.check(self._database)
                signs = await watching.signs(self._database)
        except (DatabaseUnavailable, TimeoutError):
            return "the database is away"
        except SchemaMismatch:
            return "the database has another schema"
        self._ages = {
            name: round(seconds)
            for name, seconds in (
                ("oldest_receipt_seconds", signs.receipt_seconds),
                ("last_tick_seconds", signs.tick_seconds),
            )
            if seconds is not None
        }
        return _OK
