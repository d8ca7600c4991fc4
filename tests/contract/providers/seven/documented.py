"""What seven.io's documents show, and messages handed over."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from campaigns.domain.provider import Accepted, OutboundMessage, Outcome
from campaigns.providers.seven.adapter import Seven
from tests.contract.providers.members import SENDER, TEXT

PHONES = ["+37061234567", "+37062345678", "+37063456789"]
BATCH = "0123456789abcdef0123456789abcdef-7"
ID = "77229135982"
ACCEPTED = Accepted(ID, Decimal("0.075"), 1)


async def hand_over(provider: Seven, request: Sequence[OutboundMessage]) -> list[Outcome]:
    return await provider.hand_over(request, SENDER, asyncio.get_running_loop().time() + 5)


def of_batch(count: int, text: str = TEXT) -> list[OutboundMessage]:
    return [OutboundMessage(f"{BATCH}-{at}", f"+370612{at:05}", text) for at in range(count)]
