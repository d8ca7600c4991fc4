"""Builds the parts of a process from the settings: the only module that makes adapters."""

import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil

from redis.asyncio import Redis

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import CampaignError
from campaigns.domain.metrics import LATE_ANSWERS, UNMETERED, Meter
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Provider
from campaigns.domain.tracing import Tracer
from campaigns.late import LateAnswers
from campaigns.pacing.bucket import Kind, Line, Pace, pace_key, questions_key
from campaigns.pacing.lanes import Lanes
from campaigns.pacing.witness import RedisWitness
from campaigns.providers.registry import opened
from campaigns.providers.rehearsal import Rehearsal
from campaigns.providers.wire import Wire
from campaigns.store.session import Database
from worker.settings.accounts import AccountSettings
from worker.settings.addresses import database_url_for_asyncpg, redis_client_url
from worker.settings.model import Settings
from worker.settings.safety import read_networks
from worker.spool import Spool
from worker.tracing import tracer_for
from worker.webhooks.delivering import MOST_AT_ONCE, Deliverer
from worker.webhooks.requests import Requests

# How many seconds of an account's pace may be in flight as batches; enough for slow answers.
_PACE_SECONDS_IN_FLIGHT = 4
# Between two questions, where each is the only one of its batch: to deal, ask and store.
_QUESTION_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages need, alive inside one event loop."""

    settings: Settings
    database: Database
    redis: Redis
    desk: Desk
    # How many batches this process hands over, and polls, at once.
    sending_lanes: Lanes
    polling_lanes: Lanes
    # Answers that the database could not take in time, in memory and on disk.
    late: LateAnswers
    spool: Spool
    # Tells webhooks what happened.
    webhooks: Deliverer
    # Counts for machines; forgets where nobody reads it.
    meter: Meter = UNMETERED


def worker_name() -> str:
    """The name under which this process holds leases: host, process id and a random token, so that a process
    with a reused id does not inherit them.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _polls_in_flight(settings: AccountSettings, questions_per_second: float) -> int:
    """How many batches of an account may be polled at once.

    Where each question is about one message, a single batch can use all of the pace for as long as its lease
    lasts, and holds a slot of its process meanwhile. So no more batches than are needed if each has one
    question.
    """
    if settings.asks_one_by_one:
        return ceil(questions_per_second * _QUESTION_SECONDS) + 1
    return ceil(questions_per_second * _PACE_SECONDS_IN_FLIGHT) + settings.burst


def _account(
    settings: AccountSettings, name: str, redis: Redis, wire: Wire, callbacks: CallbackUrls | None
) -> Account:
    rate, questions_rate = settings.requests_per_second, settings.questions_per_second
    paced = partial(Pace, redis, pace_key(name), requests_per_second=rate, burst=settings.burst)
    if questions_rate is None:
        questions_rate = rate
        pace, asking = paced(kind=Kind.SENDS, is_patient=True), paced(kind=Kind.QUESTIONS)
    else:
        pace = paced(is_patient=True)
        key = questions_key(name)
        asking = Pace(redis, key, requests_per_second=questions_rate, burst=1, is_patient=True)
    return Account(
        opened(name, settings, wire),
        pace,
        in_flight=ceil(rate * _PACE_SECONDS_IN_FLIGHT) + settings.burst,
        callbacks=callbacks,
        several=pace.several,
        wait_to_ask=Line(asking).wait,
        polls_in_flight=_polls_in_flight(settings, questions_rate),
        provider_name=settings.provider,
    )


@asynccontextmanager
async def open_parts(
    settings: Settings,
    is_stopping: Callable[[], bool] = lambda: False,
    lane_size: int = 1,
    meter: Meter = UNMETERED,
    tracer: Tracer | None = None,
) -> AsyncIterator[Parts]:
    """Open everything one process needs, inside the running loop; close it all at the end.

    Takes settings with both URLs (see `located`), a function that says whether the process was asked to end,
    how many batches it may hand over at once, what counts for machines, and what records spans (None: what
    OTEL_* says). Nothing is connected before it is used.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise CampaignError("both CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL must be known here")
    async with AsyncExitStack() as stack:
        if tracer is None:
            tracer = tracer_for()
            stack.push_async_callback(tracer.close)
        database = Database(database_url_for_asyncpg(settings.database_url))
        stack.push_async_callback(database.close)
        redis = Redis.from_url(
            redis_client_url(settings.redis_url),
            # `from_url` makes no retries: a script that ran twice would use up the pace of two requests.
            socket_timeout=5,
            socket_connect_timeout=5,
            health_check_interval=10,
        )
        stack.push_async_callback(redis.aclose)
        wire = Wire()
        stack.push_async_callback(wire.close)
        accounts = {
            name: _account(
                account, name, redis, wire.of(account.provider, meter, tracer), settings.callback_urls(name)
            )
            for name, account in settings.accounts.items()
        }
        spool = Spool(settings.data_dir)
        stack.callback(spool.close)
        late = LateAnswers(spool.write)
        policy = settings.policy()
        witness = RedisWitness(redis, give_up_seconds=policy.give_up_seconds)
        desk = Desk(
            accounts, policy, worker_name(), random.random, is_stopping, late.keep, witness, meter, tracer
        )
        requests = Requests(read_networks(settings.webhook_allow or ""), most=MOST_AT_ONCE)
        stack.push_async_callback(requests.close)
        webhooks = Deliverer(database, requests, is_stopping=is_stopping, meter=meter)
        meter.watch(LATE_ANSWERS, lambda: len(late))
        lanes = Lanes(lane_size), Lanes(lane_size)
        yield Parts(settings, database, redis, desk, *lanes, late, spool, webhooks, meter)


@asynccontextmanager
async def rehearsed(
    settings: Settings, name: str, *, sends: bool
) -> AsyncIterator[tuple[Provider, Rehearsal]]:
    """The adapter of one account on a wire that shows its requests, and sends them only with `sends`.

    Takes the name of an account that exists. Use it inside the loop; it is closed at the end.
    """
    wire = Rehearsal(sends=sends)
    try:
        yield opened(name, settings.account(name), wire), wire
    finally:
        await wire.close()
