"""Loyalty.lt as a member of the family. Imports nothing of `members.py`, which finds it by its name."""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any

from campaigns.domain.provider import OutboundMessage
from campaigns.domain.states import MessageState
from campaigns.providers.loyalty_lt import answers as loyalty_lt_answers
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.wire import Wire
from tests.contract.providers.wire_server import Seen, WireServer

API_KEY = "secret-loyalty-key-0123456789"
API_SECRET = "secret-loyalty-secret-9876543210"


class LoyaltyLtMember:
    name = "loyalty_lt"
    words: Mapping[str, MessageState] = MappingProxyType(
        {word: state for word, (state, _) in loyalty_lt_answers.STATUSES.items()}
    )
    secrets: Sequence[str] = (API_KEY, API_SECRET)

    def make(
        self,
        server: WireServer,
        wire: Wire,
        *,
        timeout_seconds: float = 5.0,
        word: str | None = None,
        **more: Any,
    ) -> LoyaltyLt:
        def status(seen: Seen) -> bytes:
            message_id = seen.path.rpartition("/")[2]
            return json.dumps({"success": True, "data": {"message_id": message_id, "status": word}}).encode()

        if word is not None:
            for at in range(1, 11):  # of the first messages of `members.messages`
                server.free[f"/en/sms/status/{_id(f'+370612{at:05}')}"] = status
        # A clock on which each look is ten seconds later: the suite asks for the same id again at once.
        looks = count(0.0, 10.0)
        return LoyaltyLt(
            **{
                "name": "main",
                "api_key": API_KEY,
                "api_secret": API_SECRET,
                "wire": wire,
                "base_url": server.url,
                "timeout_seconds": timeout_seconds,
                "monotonic": lambda: next(looks),
                **more,
            }
        )

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        """Of the first alone: a request holds one message."""
        return json.dumps(
            {
                "success": True,
                "message": "SMS sent successfully",
                "data": {
                    "message_id": _id(request[0].phone),
                    "source": "Sender",
                    "destination": request[0].phone,
                    "status": "queued",
                    "parts": 2,
                    "cost": {"amount": 0.1112, "currency": "EUR", "parts_charged": 2},
                },
                "code": 200,
            }
        ).encode()

    def with_extra_fields(self, body: bytes) -> bytes:
        document = json.loads(body)
        document["data"] |= {"network": "tele", "ported": 0, "more": [{}]}
        document["data"]["cost"] |= {"tax": 0.21}
        return json.dumps({**document, "request_id": "req_1", "code": "OK", "note": None}).encode()

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        return [loyalty_lt_answers.read_sent(body) for _ in request]


def _id(phone: str) -> str:
    return f"msg_{phone.removeprefix('+')[::-1]}"


MEMBER = LoyaltyLtMember()
