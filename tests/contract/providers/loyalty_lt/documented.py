"""What Loyalty.lt's documents show, and one message handed over."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from campaigns.domain.provider import Callback, OutboundMessage, Outcome
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import read_sent
from tests.contract.providers.members import SENDER
from tests.contract.providers.wire_server import Act, answer, body_of

PHONE = "+37061234567"
CALLBACK_URL = "https://sms.example.com/callbacks/main/s3cr3t-t0ken"
ID = "msg_abc123def456"
NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


# As documented (send).
SENT: dict[str, Any] = {
    "success": True,
    "message": "SMS sent successfully",
    "data": {
        "message_id": ID,
        "source": "MyBrand",
        "destination": PHONE,
        "status": "queued",
        "parts": 1,
        "cost": {"amount": 0.0556, "currency": "EUR", "parts_charged": 1},
        "scheduled": None,
        "validity": "2025-01-16T10:30:00Z",
        "marketing_consent_registered": False,
    },
    "code": 200,
}


# As documented (status, and the same in the seed).
STATUS: dict[str, Any] = {
    "success": True,
    "data": {
        "message_id": ID,
        "status": "delivered",
        "source": "MyBrand",
        "destination": PHONE,
        "sent_at": "2025-01-15T10:30:00Z",
        "delivered_at": "2025-01-15T10:30:05Z",
        "failed_at": None,
        "scheduled": None,
        "validity": "2025-01-16T10:30:00Z",
        "cost": {"amount": 0.0556, "currency": "EUR"},
        "error_message": None,
    },
}
UNKNOWN = b'{"success": false, "message": "Message not found"}'


def leave_by() -> float:
    return asyncio.get_running_loop().time() + 5


def status_of(message_id: str, word: str = "sent") -> Act:
    return answer(body_of({"success": True, "data": {"message_id": message_id, "status": word}}))


async def outcome(provider: LoyaltyLt, **more: Any) -> Outcome:
    message = OutboundMessage(**{"message_ref": "ref-1", "phone": PHONE, "text": "Hello", **more})
    (only,) = await provider.hand_over([message], SENDER, leave_by())
    return only


def sent(**data: object) -> object:
    return read_sent(body_of({**SENT, "data": {**SENT["data"], **data}}))


def callback(
    document: object,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    query: Sequence[tuple[str, str]] = (),
) -> Callback:
    given_headers = {"Content-Type": "application/json"} if headers is None else headers
    return Callback(method, CALLBACK_URL, given_headers, query, body_of(document), NOW)
