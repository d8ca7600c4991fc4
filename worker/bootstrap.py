"""Builds the parts of a process out of the settings: the one door through which adapters come in."""

import asyncio
import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import ceil

from redis.asyncio import Redis

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import CampaignError, SubmissionError
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Provider
from campaigns.pacing.bucket import Pace
from campaigns.providers.lightsms import LightSms
from campaigns.providers.loyalty_lt import LoyaltyLt
from campaigns.providers.namirial import Namirial
from campaigns.providers.seven import Seven
from campaigns.providers.wire import Wire
from campaigns.store.session import Database
from worker.account_settings import (
    AccountSettings,
    LightSMSAccount,
    LoyaltyLtAccount,
    NamirialAccount,
    SevenAccount,
)
from worker.addresses import database_url_for_asyncpg, database_url_for_sqlalchemy, redis_client_url
from worker.embedded import stack as embedded
from worker.embedded.stack import ServerUrls
from worker.settings import Settings

# Batches of an account in flight: what its pace can use in so many seconds, slow answers included.
_PACE_SECONDS_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages need, alive inside one event loop."""

    settings: Settings
    database: Database
    redis: Redis
    desk: Desk
    # Batches this process hands over at once, and polls at once. The first bounds what is in doubt when it
    # is killed.
    sending_places: asyncio.Semaphore
    polling_places: asyncio.Semaphore


def _provider(name: str, account: AccountSettings, wire: Wire) -> Provider:
    match account:
        case LightSMSAccount():
            return LightSms(
                name=name,
                login=account.login,
                api_key=account.api_key.get_secret_value(),
                base_url=account.base_url,
                timeout_seconds=account.timeout_seconds,
                max_recipients_per_request=account.max_recipients_per_request,
                currency=account.currency,
                wire=wire,
            )
        case LoyaltyLtAccount():
            return LoyaltyLt(
                name=name,
                api_key=account.api_key.get_secret_value(),
                api_secret=account.api_secret.get_secret_value(),
                locale=account.locale,
                base_url=account.base_url,
                timeout_seconds=account.timeout_seconds,
                concurrency=account.concurrency,
                wire=wire,
            )
        case SevenAccount():
            signing_key = account.signing_key
            return Seven(
                name=name,
                api_key=account.api_key.get_secret_value(),
                signing_key=None if signing_key is None else signing_key.get_secret_value(),
                base_url=account.base_url,
                timeout_seconds=account.timeout_seconds,
                max_recipients_per_request=account.max_recipients_per_request,
                concurrency=account.concurrency,
                wire=wire,
            )
        case NamirialAccount():
            return Namirial(
                name=name,
                username=account.username,
                password=account.password.get_secret_value(),
                api_key=account.api_key.get_secret_value(),
                send_url=account.send_url,
                status_url=account.status_url,
                reference_service=account.reference_service,
                reference_action=account.reference_action,
                timeout_seconds=account.timeout_seconds,
                concurrency=account.concurrency,
                wire=wire,
            )


def callback_urls(settings: Settings, name: str) -> CallbackUrls | None:
    """Where the provider of account `name` may call us; None where it does not call, or PUBLIC_URL is not
    set. Raises NotFound.
    """
    account = settings.account(name)
    if settings.public_url is None or settings.callback_secret is None or not account.calls_back:
        return None
    return CallbackUrls(name, settings.public_url, settings.callback_secret.get_secret_value())


def _account(settings: Settings, name: str, account: AccountSettings, redis: Redis, wire: Wire) -> Account:
    pace = Pace(redis, name, requests_per_second=account.requests_per_second, burst=account.burst)
    return Account(
        _provider(name, account, wire),
        pace,
        in_flight=ceil(account.requests_per_second * _PACE_SECONDS_IN_FLIGHT) + account.burst,
        callbacks=callback_urls(settings, name),
        several=pace.several,
    )


def located(settings: Settings) -> Settings:
    """The settings with both URLs: those given, or those of the running embedded stack of DATA_DIR.

    Raises CampaignError with one sentence when there are neither.
    """
    if settings.database_url is not None and settings.redis_url is not None:
        return settings
    urls = embedded.running(settings.data_dir)
    if urls is None:
        raise CampaignError(
            f"no servers: no embedded stack runs in {settings.data_dir}; start one with `campaigns up`, "
            "or set CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL"
        )
    return with_servers(settings, urls)


def with_servers(settings: Settings, urls: ServerUrls) -> Settings:
    """The settings with the addresses of embedded servers filled in."""
    return settings.model_copy(update={"database_url": urls.database_url, "redis_url": urls.redis_url})


def sender_of(settings: Settings, account: str, sender_id: str | None) -> str | None:
    """Who a campaign is from: what was given, else the account's own; None where the provider takes no
    sender id. Raises NotFound, SubmissionError.
    """
    known = settings.account(account)
    chosen = sender_id or known.sender_id
    if chosen is None and known.needs_sender_id:
        raise SubmissionError(
            f"there is no sender id; give one, or set CAMPAIGNS_ACCOUNTS__{account.upper()}__SENDER_ID"
        )
    return chosen


def worker_name() -> str:
    """Who holds our leases: host, process and a token, so that a reused pid is nobody's heir."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def open_parts(
    settings: Settings, is_stopping: Callable[[], bool] = lambda: False, places: int = 1
) -> AsyncIterator[Parts]:
    """Open everything one process needs, inside the running loop; close it all at the end.

    Takes settings with both URLs (see `located`), who knows whether the process was asked to end, and how
    many batches it may hand over at once. Nothing is connected before it is used.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise CampaignError("both CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL must be known here")
    async with AsyncExitStack() as stack:
        database = Database(
            database_url_for_sqlalchemy(settings.database_url),
            database_url_for_asyncpg(settings.database_url),
        )
        stack.push_async_callback(database.close)
        # Without retries: a repeated script would take two places in the pace.
        redis = Redis.from_url(
            redis_client_url(settings.redis_url),
            socket_timeout=5,
            socket_connect_timeout=5,
            health_check_interval=10,
        )
        stack.push_async_callback(redis.aclose)
        wire = Wire()
        stack.push_async_callback(wire.close)
        accounts = {
            name: _account(settings, name, account, redis, wire)
            for name, account in settings.accounts.items()
        }
        desk = Desk(accounts, settings.policy(), worker_name(), random.random, is_stopping)
        yield Parts(settings, database, redis, desk, asyncio.Semaphore(places), asyncio.Semaphore(places))
