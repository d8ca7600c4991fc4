"""The providers of examples/providers as members of the family. Imports nothing of `members.py`, which finds
this file by its name.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from campaigns.domain.provider import OutboundMessage
from campaigns.domain.states import MessageState
from campaigns.providers.http import EXAMPLES
from campaigns.providers.http.adapter import HttpProvider
from campaigns.providers.http.answers import read_outcomes
from campaigns.providers.http.mapping import load
from campaigns.providers.http.settings import HttpAccount
from campaigns.providers.wire import Answered, Wire
from tests.contract.providers.wire_server import Seen, WireServer

USERNAME = "AC0123456789abcdef0123456789abcdef"
SECRETS = {"password": "secret-password", "api_key": "secret-api-key-0123", "api_secret": "secret-api-secret"}
BASICS = [
    b64encode(f"{user}:{password}".encode()).decode()
    for user, password in ((USERNAME, "secret-password"), ("secret-api-key-0123", "secret-api-secret"))
]
Entry = Callable[[OutboundMessage], dict[str, object]]


class HttpMember:
    """One mapping. Takes how its documents show an answer that takes messages, and one to a question."""

    secrets: Sequence[str] = (*SECRETS.values(), *BASICS)

    def __init__(
        self,
        example: str,
        taken: Callable[[Sequence[OutboundMessage]], dict[str, object]],
        told: Callable[[str], bytes],
        status_path: str,
        name: str | None = None,
    ) -> None:
        self.name = name or example
        self.path = EXAMPLES / f"{example}.toml"
        self.taken = taken
        self.told = told
        self.status_path = status_path
        self.mapping = load(self.path)
        assert self.mapping.status is not None
        self.words: Mapping[str, MessageState] = MappingProxyType(dict(self.mapping.status.words))

    def account(self, url: str = "https://mapping.test", **more: Any) -> HttpAccount:
        given = {"provider": "http", "mapping": self.path, "base_url": url, "username": USERNAME}
        return HttpAccount.model_validate({**given, **SECRETS, **more})

    def make(
        self,
        server: WireServer,
        wire: Wire,
        *,
        timeout_seconds: float = 5.0,
        word: str | None = None,
        **more: Any,
    ) -> HttpProvider:
        if word is not None:
            self._answer_questions(server, word)
        account = self.account(server.url, timeout_seconds=timeout_seconds, **more)
        return HttpProvider(name="main", account=account, wire=wire)

    def _answer_questions(self, server: WireServer, word: str) -> None:
        if "{id}" not in self.status_path:

            def several(seen: Seen) -> bytes:
                ids = seen.query.get("messageId") or seen.query["id"]
                return _listed(
                    self,
                    [json.loads(self.told(word).decode().replace("{id}", each)) for each in ids.split(",")],
                )

            server.free[self.status_path] = several
            return
        for at in range(1, 11):
            message_id = f"SM{at:032x}"
            said = self.told(word).decode().replace("{id}", message_id).encode()
            server.free[self.status_path.replace("{id}", message_id)] = said

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        return json.dumps(self.taken(request)).encode()

    def with_extra_fields(self, body: bytes) -> bytes:
        document = json.loads(body)
        for entry in document.get("messages", []):
            entry["more"] = [{}]
        return json.dumps({**document, "more": [{"status": "failed"}]}).encode()

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        send, answer = self.mapping.send, Answered(200, {}, body)
        if send.recipients_per_request > 1:
            return read_outcomes(send, answer, request, 0.0)
        return [read_outcomes(send, answer, [message], 0.0)[0] for message in request]


def _listed(member: HttpMember, entries: list[object]) -> bytes:
    assert member.mapping.status is not None
    [where] = member.mapping.status.answer.messages
    return json.dumps({where.parts[0]: entries}).encode()  # type: ignore[union-attr]


def _number(message: OutboundMessage) -> int:
    return int(message.message_ref.partition("-")[2])


def _twilio(request: Sequence[OutboundMessage]) -> dict[str, object]:
    return {
        "account_sid": USERNAME,
        "api_version": "2010-04-01",
        "body": "Hi there",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": f"SM{_number(request[0]):032x}",
        "status": "queued",
        "to": request[0].phone,
    }


def _vonage(request: Sequence[OutboundMessage]) -> dict[str, object]:
    entry = {
        "to": request[0].phone[1:],
        "message-id": f"aaaaaaaa-bbbb-cccc-dddd-{_number(request[0]):012x}",
        "status": "0",
        "remaining-balance": "3.14159265",
        "message-price": "0.03330000",
        "network": "12345",
        "client-ref": request[0].message_ref,
    }
    return {"message-count": "1", "messages": [entry]}


def _infobip(request: Sequence[OutboundMessage]) -> dict[str, object]:
    status = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}
    entries = [
        {
            "messageId": message.message_ref,
            "status": {**status, "description": "Message sent to next instance"},
            "destination": message.phone[1:],
            "details": {"messageCount": 1},
        }
        for message in request
    ]
    return {"bulkId": "1688025180464000013", "messages": entries}


MOMENT = datetime(2026, 2, 4, 6, 54, 55, tzinfo=UTC)


def _twilio_told(word: str) -> bytes:
    moment = "Wed, 04 Feb 2026 06:54:55 +0000"
    said = {"sid": "{id}", "status": word, "price": "-0.00750", "price_unit": "USD", "date_updated": moment}
    return json.dumps({**said, "error_code": 30007, "num_segments": "2"}).encode()


def _vonage_told(word: str) -> bytes:
    said = {"message_id": "{id}", "client_ref": "", "status": word, "error_code": "0", "currency": "EUR"}
    return json.dumps({**said, "total_price": "0.0666", "date_finalized": MOMENT.isoformat()}).encode()


def _infobip_told(word: str) -> bytes:
    said = {"messageId": "{id}", "status": {"groupName": word}, "doneAt": "2026-02-04T06:54:55.000+0000"}
    price = {"pricePerMessage": 0.01, "currency": "EUR"}
    return json.dumps({**said, "messageCount": 2, "price": price, "error": {"id": 0}}).encode()


TWILIO_STATUS = f"/2010-04-01/Accounts/{USERNAME}/Messages/{{id}}.json"
MEMBER = HttpMember("twilio", _twilio, _twilio_told, TWILIO_STATUS, name="http")
MORE = (
    HttpMember("vonage", _vonage, _vonage_told, "/v2/reports/records"),
    HttpMember("infobip", _infobip, _infobip_told, "/sms/3/logs"),
)
"""The other examples: one provider to us, as many wires as there are providers."""
