"""Whether this process lives (`/livez`), can do its work (`/readyz`), and can take callbacks (`/health`).

In /health the ages of the oldest receipt that is due and of the last tick are about the workers, and do not
change the status: a probe that restarted the web because of them would lose callbacks as well. /readyz is for
who asks whether the whole works, and for a balancer; nothing is to be restarted because of it. /livez is what
a supervisor restarts by: it asks nobody.
"""

import asyncio
from typing import Literal

from aiohttp import web
from redis.exceptions import RedisError

from campaigns import watching
from campaigns.domain.errors import DatabaseUnavailable, SchemaMismatch
from campaigns.store import schema
from worker import shapes
from worker.bootstrap import Parts

_PATIENCE_SECONDS = 3.0  # for the database to answer
_FRESH_SECONDS = 1.0  # anybody may ask at any rate: that must not become as many queries

SERVICE: Literal["campaigns"] = "campaigns"
"""By it a caller knows that this /health is ours and not a proxy's."""

_OK = "ok"


class Health:
    """Checks the database at most once a second, and tells every caller the same."""

    def __init__(self, parts: Parts) -> None:
        self._database = parts.database
        self._redis = parts.redis
        self._tick_alive_seconds = max(watching.TICK_ALIVE_SECONDS, 3 * parts.settings.tick_seconds)
        self._looking = asyncio.Lock()
        self._status = self._redis_status = ""
        self._ages: dict[str, int] = {}
        self._looked_at: float | None = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to `router`. /health: 200 if callbacks can be stored, else 503 with a fixed
        sentence; /readyz: 200 if all is well that the work needs, else 503 with what is not.
        """
        router.add_get("/health", self._tell)
        router.add_get("/livez", self._tell_alive)
        router.add_get("/readyz", self._tell_ready)

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time
        async with self._looking:
            if self._looked_at is None or now() - self._looked_at >= _FRESH_SECONDS:
                self._ages = {}
                self._redis_status = await self._look_at_redis()
                self._status = await self._look()
                self._looked_at = now()

    async def _tell_alive(self, _request: web.Request) -> web.Response:
        return web.json_response(shapes.Alive(service=SERVICE, status="ok").public())

    async def _tell_ready(self, _request: web.Request) -> web.Response:
        await self._refresh()
        checks = {"database": self._status, "redis": self._redis_status, "tick": self._tick_status()}
        is_ready = all(said == _OK for said in checks.values())
        shape = shapes.Readiness(service=SERVICE, ready=is_ready, checks=checks)
        return web.json_response(shape.public(), status=200 if is_ready else 503)

    def _tick_status(self) -> str:
        age = self._ages.get("last_tick_seconds")
        if age is None:
            return "no tick was seen"
        return _OK if age <= self._tick_alive_seconds else f"the last tick was {age} s ago"

    async def _look_at_redis(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return "Redis is away"
        return _OK

    async def _tell(self, _request: web.Request) -> web.Response:
        await self._refresh()
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
