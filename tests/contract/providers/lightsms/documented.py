"""What LightSMS's documents show, and messages handed over."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    OutboundMessage,
    Outcome,
    Rejected,
)
from campaigns.providers.lightsms.adapter import LightSms, signature
from campaigns.providers.lightsms.answers import CODES
from tests.contract.providers.lightsms.member import API_KEY
from tests.contract.providers.members import SENDER, messages
from tests.contract.providers.wire_server import Seen

PHONES = ["+37061234567", "+37062345678", "+37063456789"]
ID = "4092112510348380960001"
TAKEN = {"error": "0", "id_sms": ID, "cost": "0.0144", "count_sms": "1"}
ACCEPTED = Accepted(ID, Decimal("0.0144"), 1)
TIMESTAMP = "/external/get/timestamp.php"
STATUS = "/external/get/status.php"


async def hand_over(provider: LightSms, request: Sequence[OutboundMessage]) -> list[Outcome]:
    return await provider.hand_over(request, SENDER, asyncio.get_running_loop().time() + 5)


async def handed_over(provider: LightSms, count: int = 1) -> list[Outcome]:
    await provider.prepare()
    return await hand_over(provider, messages(count))


def signed_rightly(seen: Seen) -> bool:
    query = seen.query
    return query.pop("signature") == signature(query, API_KEY)


REJECTED = {4, 13, 16, 27, 31, 33, 34}
OPTED_OUT = {13, 34}
CAMPAIGN: dict[int, Literal["sender", "text"]] = {
    3: "text",
    5: "sender",
    8: "sender",
    9: "sender",
    10: "sender",
    11: "text",
}
ACCOUNT = {1, 2, 7, 32, 35}


def expected(code: int) -> Outcome:
    words = CODES[str(code)][1] if str(code) in CODES else "a code their documents do not hold"
    if code in REJECTED:
        return Rejected(str(code), words, opted_out=code in OPTED_OUT)
    if code in CAMPAIGN:
        return CampaignTrouble(str(code), words, CAMPAIGN[code])
    return AccountTrouble(str(code), words) if code in ACCOUNT else Failed(str(code), words)


def ids(count: int) -> list[str]:
    return [f"40921125103483809{at:05}" for at in range(count)]
