"""Builds the parts of a process out of the settings."""

import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import CampaignError
from campaigns.domain.policy import Desk
from campaigns.late import LateAnswers
from campaigns.pacing.lanes import Lanes
from campaigns.store.session import Database
from worker.settings.addresses import database_url_for_asyncpg
from worker.settings.model import Settings
from worker.spool import Spool

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages need, alive inside one event loop."""

    settings: Settings
    database: Database
    redis: "Redis"
    desk: Desk
    # How many batches this process hands over, and polls, at once.
    sending_lanes: Lanes
    polling_lanes: Lanes
    # Answers that the database could not take in time, in memory and on disk.
    late: LateAnswers
    spool: Spool


def callback_urls(settings: Settings, name: str) -> CallbackUrls | None:
    """Where the provider of account `name` may call us; None where it does not call, or PUBLIC_URL is not
    set. Raises NotFound.
    """
    account = settings.account(name)
    if settings.public_url is None or settings.callback_secret is None or not account.calls_back:
        return None
    before = settings.callback_secret_before
    return CallbackUrls(
        name,
        settings.public_url,
        settings.callback_secret.get_secret_value(),
        None if before is None else before.get_secret_value(),
    )


def worker_name() -> str:
    """The name under which this process holds leases: host, process id and a random token, so that a process
    with a reused id does not inherit them.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def open_parts(
    settings: Settings, is_stopping: Callable[[], bool] = lambda: False, lane_size: int = 1
) -> AsyncIterator[Parts]:
    """Open everything one process needs, inside the running loop; close it all at the end.

    Takes settings with both URLs (see `located`), a function that says whether the process was asked to end,
    and how many batches it may hand over at once. Nothing is connected before it is used.
    """
    # Most commands ask no provider: no HTTP and no Redis for them.
    from campaigns.pacing.witness import RedisWitness  # noqa: PLC0415  as above
    from worker.accounts import open_accounts  # noqa: PLC0415  as above

    if settings.database_url is None or settings.redis_url is None:
        raise CampaignError("both CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL must be known here")
    async with (
        AsyncExitStack() as stack,
        open_accounts(settings, settings.redis_url, partial(callback_urls, settings)) as (redis, accounts),
    ):
        database = Database(database_url_for_asyncpg(settings.database_url))
        stack.push_async_callback(database.close)
        spool = Spool(settings.data_dir)
        late = LateAnswers(spool.write)
        stack.callback(spool.close)
        policy = settings.policy()
        witness = RedisWitness(redis, give_up_seconds=policy.give_up_seconds)
        desk = Desk(accounts, policy, worker_name(), random.random, is_stopping, late.keep, witness)
        yield Parts(settings, database, redis, desk, Lanes(lane_size), Lanes(lane_size), late, spool)
