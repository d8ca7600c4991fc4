"""Builds accounts out of the settings: the one door through which adapters come in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from math import ceil

from redis.asyncio import Redis

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.policy import Account
from campaigns.domain.provider import Provider
from campaigns.pacing.bucket import Kind, Line, Pace, pace_key, questions_key
from campaigns.providers.registry import opened
from campaigns.providers.rehearsal import Rehearsal
from campaigns.providers.wire import Wire
from worker.settings.accounts import AccountSettings
from worker.settings.addresses import redis_client_url
from worker.settings.model import Settings

# How many seconds of an account's pace may be in flight as batches; enough for slow answers.
_PACE_SECONDS_IN_FLIGHT = 4
# Between two questions, where each is the only one of its batch: to deal, ask and store.
_QUESTION_SECONDS = 0.5


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
    )


@asynccontextmanager
async def open_accounts(
    settings: Settings, redis_url: str, callbacks_of: Callable[[str], CallbackUrls | None]
) -> AsyncIterator[tuple[Redis, dict[str, Account]]]:
    """Every account by its name, and the Redis that holds their pace; both are closed at the end.

    Takes a function that says where an account's provider may call us. Nothing is connected before it is
    used.
    """
    async with AsyncExitStack() as stack:
        # Without retries: a script that ran twice would use up the pace of two requests.
        redis = Redis.from_url(
            redis_client_url(redis_url),
            socket_timeout=5,
            socket_connect_timeout=5,
            health_check_interval=10,
        )
        stack.push_async_callback(redis.aclose)
        wire = Wire()
        stack.push_async_callback(wire.close)
        yield (
            redis,
            {
                name: _account(account, name, redis, wire, callbacks_of(name))
                for name, account in settings.accounts.items()
            },
        )


@asynccontextmanager
async def rehearsed(
    settings: Settings, name: str, *, sends: bool
) -> AsyncIterator[tuple[Provider, Rehearsal]]:
    """The adapter of one account on a wire that shows what it would send, and sends it where told to.

    Takes the name of an account there is. Called inside the loop; closed at the end.
    """
    wire = Rehearsal(sends=sends)
    try:
        yield opened(name, settings.account(name), wire), wire
    finally:
        await wire.close()
