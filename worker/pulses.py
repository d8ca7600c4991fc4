"""Workers say that they live, so that `doctor`, `status` and a container's probe know it."""

import asyncio
from contextlib import suppress
from typing import Any

from celery import signals

from campaigns import watching
from campaigns.domain.errors import DatabaseUnavailable
from worker.app import runtime
from worker.bootstrap import Parts

_LAST_WORD_SECONDS = 2.0


@signals.worker_ready.connect
def _live(**_: Any) -> None:
    runtime.begin(_say_so)


async def _say_so(parts: Parts) -> None:
    """Write it down every ten seconds; a database that is away hears of it when it is back."""
    name = parts.desk.worker
    try:
        while True:
            with suppress(DatabaseUnavailable):  # the tick says that it is away
                await watching.worker_lives(parts.database, name)
            await asyncio.sleep(watching.PULSE_SECONDS)
    finally:
        with suppress(DatabaseUnavailable, TimeoutError):  # a minute later it counts as gone anyhow
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await watching.worker_ends(parts.database, name)
