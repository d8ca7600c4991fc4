"""Whether this process can do its work: it can when the database can be reached and is the right one.

What else is told (the age of the oldest receipt that is due, and of the last tick) is the workers' affair and
does not change the status: a probe that ended the web for it would lose callbacks as well.
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
_FRESH_SECONDS = 1.0  # anybody may ask, as often as they like: that must not become as many queries

SERVICE: Literal["campaigns"] = "campaigns"
"""How `/health` is known for ours, whatever stands between."""

_OK = "ok"


class Health:
    """Looks at the database now and then, and tells everybody the same."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = asyncio.Lock()
        self._status = ""
        self._ages: dict[str, int] = {}
        self._looked_at: float | None = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Hang it into `router`: 200 when what comes can be stored, else 503 and why in a few fixed words."""
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
