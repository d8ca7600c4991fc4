"""Delivers what is due to webhooks: claims it, signs it, sends it, and writes down what became of it."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from campaigns import outbox
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.metrics import DELIVERIES, UNMETERED, Meter
from campaigns.store.outbox.deliveries import Claimed
from campaigns.store.session import Database, retry_while_away
from worker.webhooks import signing
from worker.webhooks.requests import Requests

MOST_AT_ONCE = 32
"""Requests to webhooks of one process at once; of them two to the same."""

_LOOK_SECONDS = 0.5  # between two looks for what is due while slow receivers are waited for
_WRITE_SECONDS = 10.0  # to write down what became of a delivery; then the event comes there once more


class Deliverer:
    """Delivers for one process. Call it on one event loop.

    Takes the requests that it makes, what says whether the process was asked to end, and the meter.
    """

    def __init__(
        self,
        database: Database,
        requests: Requests,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        meter: Meter = UNMETERED,
    ) -> None:
        self._database = database
        self._requests = requests
        self._is_stopping = is_stopping
        self._meter = meter
        self._is_delivering = False

    async def deliver(self) -> list[tuple[UUID, str]]:
        """Deliver until nothing is due. Gives the webhooks that were disabled by it, and why.

        Nothing to do where this process delivers already. What is slow holds up nothing else: the others are
        claimed beside it. Raises DatabaseUnavailable, and a bug of ours in one delivery after the others have
        ended.
        """
        if self._is_delivering:
            return []
        self._is_delivering = True
        in_flight: set[asyncio.Task[tuple[UUID, str] | None]] = set()
        ended: list[asyncio.Task[tuple[UUID, str] | None]] = []
        try:
            while True:
                free = 0 if self._is_stopping() else MOST_AT_ONCE - len(in_flight)
                claimed = await outbox.claim(self._database, most=free) if free else []
                in_flight |= {asyncio.create_task(self._one(each)) for each in claimed}
                if not in_flight:
                    break
                done, in_flight = await asyncio.wait(
                    in_flight, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                ended += done
        finally:
            self._is_delivering = False
            await asyncio.gather(*in_flight, return_exceptions=True)
        return [disabled for each in ended if (disabled := each.result()) is not None]

    async def _one(self, claimed: Claimed) -> tuple[UUID, str] | None:
        body = await outbox.body(self._database, claimed)
        headers = signing.headers(str(claimed.event_id), datetime.now(UTC), body, claimed.secrets)
        attempt = await self._requests.post(claimed.url, body, headers)
        self._meter.count(DELIVERIES, 1, attempt.verdict)

        async def write() -> str | None:
            return await outbox.settle(self._database, claimed, attempt, random.random())  # noqa: S311  jitter

        until = asyncio.get_running_loop().time() + _WRITE_SECONDS
        try:
            reason = await retry_while_away(write, until=until)
        except DatabaseUnavailable:
            return None  # its lease runs out, and the event comes there once more
        return None if reason is None else (claimed.webhook_id, reason)
