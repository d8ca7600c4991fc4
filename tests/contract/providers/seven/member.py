"""seven.io as a member of the family. Imports nothing of `members.py`, which finds it by its name."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from campaigns.domain.provider import OutboundMessage
from campaigns.domain.states import MessageState
from campaigns.providers.seven import answers as seven_answers
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.wire import Wire
from tests.contract.providers.wire_server import Seen, WireServer

API_KEY = "secret-seven-key-0123456789"
SIGNING_KEY = "secret-signing-key-0123456789"
SEND = "/api/sms"
STATUS = "/api/status"
JOURNAL = "/api/journal/outbound"
BALANCE = "/api/balance"


def entry(phone: str, message_id: str, **more: object) -> dict[str, object]:
    """One of `messages` in the answer to a send, as the documents show it. Takes a number of digits."""
    return {
        "id": message_id,
        "sender": "Sender",
        "recipient": phone,
        "text": "Hello",
        "encoding": "gsm",
        "label": None,
        "parts": 1,
        "udh": None,
        "is_binary": False,
        "price": 0.075,
        "success": True,
        "error": None,
        "error_text": None,
        **more,
    }


def sent(*entries: dict[str, object], success: object = "100") -> dict[str, object]:
    """The answer to a send, as the documents show it."""
    return {
        "success": success,
        "total_price": 0.075,
        "balance": 593.994,
        "debug": "false",
        "sms_type": "direct",
        "messages": list(entries),
    }


class SevenMember:
    name = "seven"
    # UNKNOWN is documented and no evidence: it must not settle a message.
    words: Mapping[str, MessageState] = MappingProxyType(
        {word: state for word, (state, _) in seven_answers.STATUSES.items() if state is not None}
    )
    secrets: Sequence[str] = (API_KEY, SIGNING_KEY)

    def make(
        self,
        server: WireServer,
        wire: Wire,
        *,
        timeout_seconds: float = 5.0,
        word: str | None = None,
        **more: Any,
    ) -> Seven:
        def statuses(seen: Seen) -> bytes:
            ids = seen.query["msg_id"].split(",")
            moment = "2024-02-13 05:50:58.802000"
            return json.dumps([{"id": each, "status": word, "status_time": moment} for each in ids]).encode()

        if word is not None:
            server.free[STATUS] = statuses
        given = {"name": "main", "api_key": API_KEY, "signing_key": SIGNING_KEY}
        base_url = server.url + "/api"
        return Seven(wire=wire, base_url=base_url, timeout_seconds=timeout_seconds, **{**given, **more})

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        return json.dumps(
            sent(*(entry(m.phone.removeprefix("+"), f"7722913{at:04}") for at, m in enumerate(request, 1)))
        ).encode()

    def with_extra_fields(self, body: bytes) -> bytes:
        document = json.loads(body)
        document["messages"] = [{**each, "network": "tele", "more": [{}]} for each in document["messages"]]
        document["messages"].append({"recipient": "37000000000", "note": "hello"})
        return json.dumps({**document, "warnings": []}).encode()

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        return seven_answers.read_answer(body, [message.phone for message in request])


MEMBER = SevenMember()
