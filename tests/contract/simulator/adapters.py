"""Our adapters in front of a simulator, and messages handed over through them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

from campaigns.domain.message_ref import message_ref
from campaigns.domain.provider import OutboundMessage, Outcome
from campaigns.providers.http import EXAMPLES
from campaigns.providers.http.adapter import HttpProvider
from campaigns.providers.http.settings import HttpAccount
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.wire import Wire

from .accounts import KEY
from .client import DEADLINE_SECONDS, Simulator

CAMPAIGN = UUID("0123456789abcdef0123456789abcdef")


def _made(account: Any, wire: Wire, more: dict[str, Any]) -> Any:
    simulator: Simulator = account.simulator
    url = simulator.url
    match simulator.options.provider:
        case "lightsms":
            given = {"login": "YourLogin", "api_key": KEY, "base_url": url}
            return LightSms(**{"name": "main", "wire": wire, **given, **more})
        case "loyalty_lt":
            # Its adapter asks for an id every five seconds at most: on this clock ten pass between two looks.
            looks = count(0.0, 10.0)
            given = {"api_key": KEY, "api_secret": "your_api_secret", "base_url": url}
            return LoyaltyLt(
                **{"name": "main", "wire": wire, "monotonic": lambda: next(looks), **given, **more}
            )
        case "namirial":
            given = {"username": "YourLogin", "password": "your_password", "api_key": KEY}
            given |= {"send_url": url, "status_url": url}
            given |= {"reference_service": "MARKETING", "reference_action": "CAMPAIGN"}
            return Namirial(**{"name": "main", "wire": wire, **given, **more})
        case "seven":
            given = {"api_key": KEY, "base_url": url + "/api"}
            given |= {"signing_key": simulator.options.signing_key or None}
            return Seven(**{"name": "main", "wire": wire, **given, **more})
        case "http":
            given = {"username": "YourLogin", "password": "your_password", "api_key": KEY}
            given |= {"api_secret": "your_api_secret", "base_url": url, "provider": "http"}
            given |= {"mapping": str(EXAMPLES / f"{account.example}.toml")}
            return HttpProvider(name="main", wire=wire, account=HttpAccount.model_validate({**given, **more}))


@asynccontextmanager
async def adapter(account: Any, **more: Any) -> AsyncIterator[Any]:
    """The adapter of the simulator's provider, made with what is given; its connections are closed after."""
    wire = Wire()
    try:
        yield _made(account, wire, {"timeout_seconds": 10.0, **more})
    finally:
        await wire.close()


async def hand_over(provider: Any, *messages: OutboundMessage) -> list[Outcome]:
    """One outcome for each message, in order."""
    await provider.prepare()
    leave_by = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    requests = provider.requests(messages, "Demo")
    outcomes = await asyncio.gather(*(provider.hand_over(each, "Demo", leave_by) for each in requests))
    return [outcome for request in outcomes for outcome in request]


def message(position: int, phone: str, callback_url: str | None = None) -> OutboundMessage:
    """One with a reference as the product makes it."""
    return OutboundMessage(message_ref(CAMPAIGN, 7, position), phone, "Labas, ačiū 😀", callback_url)


async def at_once() -> None:
    """The pace of an adapter that may always ask."""
